package io.flownexus.leshan.server.coap;

import io.flownexus.leshan.server.base.AtomicFile;
import io.flownexus.leshan.server.base.StartupException;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.security.SecureRandom;
import javax.crypto.Cipher;
import javax.crypto.SecretKey;
import javax.crypto.spec.GCMParameterSpec;
import javax.crypto.spec.SecretKeySpec;
import org.eclipse.californium.elements.PersistentComponent;
import org.eclipse.californium.elements.util.PersistentComponentUtil;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Keeps the DTLS sessions of devices from an orderly stop to the next start, in an encrypted file.
 *
 * <p>The file holds their keys. It is used once: a start deletes it before it uses a session, so
 * that no session goes on from where it was before (its record numbers would come again, RFC 6347,
 * 4.1). After a crash there is no file.
 */
public final class DtlsSessions {

  private static final Logger LOG = LoggerFactory.getLogger(DtlsSessions.class);

  private static final byte[] FORMAT = "flownexus dtls sessions 1".getBytes(StandardCharsets.UTF_8);
  private static final int SHORTEST_SECRET = 32; // characters
  private static final String CIPHER = "AES/GCM/NoPadding";
  private static final int IV_BYTES = 12; // NIST SP 800-38D, 8.2
  private static final int TAG_BITS = 128;
  private static final long LONGEST_SILENCE_S = Integer.MAX_VALUE; // as long as a lifetime may be

  private final Path file;
  private final SecretKey key;

  private DtlsSessions(Path file, SecretKey key) {
    this.file = file;
    this.key = key;
  }

  /** Keep no sessions. */
  public static DtlsSessions none() {
    return new DtlsSessions(null, null);
  }

  /** Keep sessions in a file, encrypted by the secret in the first line of another one. */
  public static DtlsSessions in(Path file, Path secretFile) {
    return new DtlsSessions(file, key(secretFile));
  }

  /** Take over the sessions of the last stop, if there are any. */
  void load(PersistentComponent sessions) {
    if (file == null || !Files.exists(file)) {
      return;
    }
    try {
      byte[] content = Files.readAllBytes(file);
      Files.delete(file);
      PersistentComponentUtil components = new PersistentComponentUtil();
      components.add(sessions);
      int count = components.loadComponents(new ByteArrayInputStream(decrypt(content)));
      LOG.info("{} DTLS sessions taken over", count);
    } catch (GeneralSecurityException e) {
      LOG.warn(
          "DTLS sessions are not taken over, devices will make new ones: {} was encrypted by another"
              + " secret, or is damaged",
          file);
    } catch (IOException | RuntimeException e) { // such as a format of another version
      LOG.warn("DTLS sessions are not taken over, devices will make new ones: {}", e.toString());
    }
  }

  /** Write the sessions of a connector that has stopped; it has none afterwards. */
  void save(PersistentComponent sessions) {
    if (file == null) {
      return;
    }
    try {
      ByteArrayOutputStream content = new ByteArrayOutputStream();
      PersistentComponentUtil components = new PersistentComponentUtil();
      components.add(sessions);
      int count = components.saveComponents(content, LONGEST_SILENCE_S);
      AtomicFile.write(file, encrypt(content.toByteArray()));
      LOG.info("{} DTLS sessions kept for the next start", count);
    } catch (IOException | GeneralSecurityException e) {
      LOG.warn("DTLS sessions are not kept, devices will make new ones: {}", e.toString());
    }
  }

  private byte[] encrypt(byte[] plain) throws GeneralSecurityException {
    byte[] iv = new byte[IV_BYTES];
    new SecureRandom().nextBytes(iv);
    byte[] encrypted = cipher(Cipher.ENCRYPT_MODE, iv).doFinal(plain);
    return ByteBuffer.allocate(IV_BYTES + encrypted.length).put(iv).put(encrypted).array();
  }

  private byte[] decrypt(byte[] content) throws GeneralSecurityException {
    if (content.length < IV_BYTES) {
      throw new GeneralSecurityException("too short");
    }
    ByteBuffer parts = ByteBuffer.wrap(content);
    byte[] iv = new byte[IV_BYTES];
    byte[] encrypted = new byte[content.length - IV_BYTES];
    parts.get(iv).get(encrypted);
    return cipher(Cipher.DECRYPT_MODE, iv).doFinal(encrypted);
  }

  private Cipher cipher(int mode, byte[] iv) throws GeneralSecurityException {
    Cipher cipher = Cipher.getInstance(CIPHER);
    cipher.init(mode, key, new GCMParameterSpec(TAG_BITS, iv));
    cipher.updateAAD(FORMAT);
    return cipher;
  }

  private static SecretKey key(Path secretFile) {
    try {
      String secret = Files.readString(secretFile).lines().findFirst().orElse("").strip();
      if (secret.length() < SHORTEST_SECRET) {
        throw new StartupException(
            "the secret in %s has %d characters; make one of at least %d, such as 32 random bytes in"
                    .formatted(secretFile, secret.length(), SHORTEST_SECRET)
                + " hex");
      }
      MessageDigest digest = MessageDigest.getInstance("SHA-256");
      digest.update(FORMAT);
      return new SecretKeySpec(digest.digest(secret.getBytes(StandardCharsets.UTF_8)), "AES");
    } catch (IOException e) {
      throw new StartupException("cannot read the secret file " + secretFile + " (" + e + ")", e);
    } catch (GeneralSecurityException e) {
      throw new IllegalStateException(e); // every Java has SHA-256
    }
  }
}
