/** What names the bytes of a snapshot. @module */
import { createHash } from "node:crypto"

/**
 * SHA-256 as 64 hexadecimal digits: a name of bytes that nobody else's bytes have. It is Node's and not that of Web
 * Crypto, which is the same number but a promise: so reading and writing containers stays pure.
 */
export const sha256 = (...parts: ReadonlyArray<Uint8Array>): string => {
  const hash = createHash("sha256")
  for (const part of parts) hash.update(part)
  return hash.digest("hex")
}
