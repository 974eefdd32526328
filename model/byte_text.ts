/**
 * The alphabet of byte-level vocabularies: every byte as one printable character, so that merges can be written as text.
 * Printable Latin-1 bytes stand for themselves, the others for the characters from U+0100 on, in byte order.
 *
 * Source: the byte encoder of GPT-2's vocabulary.
 * @module
 */

/** Bytes that stand for themselves, as ranges, both ends included. */
const printable: ReadonlyArray<readonly [number, number]> = [[0x21, 0x7e], [0xa1, 0xac], [0xae, 0xff]];
const standsForItself = (byte: number): boolean => printable.some(([from, to]) => byte >= from && byte <= to);

/** The character of each byte.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * assertEquals(byteCharacters[0x20], "Ġ");
 * assertEquals(byteCharacters[0x0a], "Ċ");
 * ```
 */
export const byteCharacters: ReadonlyArray<string> = Array.from({ length: 256 }, (_, byte) => {
  const others = Array.from({ length: byte }, (_, b) => b).filter((b) => !standsForItself(b)).length;
  return String.fromCodePoint(standsForItself(byte) ? byte : 0x100 + others);
});

const bytesByCharacter: ReadonlyMap<string, number> = new Map(byteCharacters.map((c, byte) => [c, byte]));
const utf8 = new TextEncoder();

/** The bytes that a token of the vocabulary spells; characters outside the alphabet give their UTF-8. */
export const tokenBytes = (token: string): Uint8Array =>
  Uint8Array.from([...token].flatMap((c) => {
    const byte = bytesByCharacter.get(c);
    return byte === undefined ? [...utf8.encode(c)] : [byte];
  }));
