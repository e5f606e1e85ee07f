package io.flownexus.leshan.server.security;

import java.util.List;

/**
 * A part of a database of credentials, in the order of its changes.
 *
 * @param expectedSource what has to be here, or the change is of no use
 * @param expectedRevision the same
 * @param next what is here then
 * @param begins whether it is the first part of the whole database
 * @param completes whether it is the last part: what was carried before and is not part of it now
 *     is denied
 */
public record Change(
    String expectedSource,
    long expectedRevision,
    Carried next,
    boolean begins,
    boolean completes,
    List<SecurityEntry> entries) {}
