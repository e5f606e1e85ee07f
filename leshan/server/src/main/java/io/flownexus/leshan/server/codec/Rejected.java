package io.flownexus.leshan.server.codec;

/** A part of a payload that gives no value: its path where known, why, and its bytes. */
public record Rejected(String path, String reason, byte[] payload) {}
