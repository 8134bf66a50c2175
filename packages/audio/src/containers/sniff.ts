/** What a file's first bytes say it is. `foreign`: nothing that is decoded in process. */
export type Container =
  "wav" | "mp3" | "flac" | "ogg-vorbis" | "ogg-opus" | "ogg-flac" | "webm-opus" | "foreign";

/** Bytes that `sniffContainer` looks at; fewer do if the file is shorter. The track list of WebM lies within them. */
export const SNIFF_BYTES = 4096;

/** @param head the first bytes of the file */
export function sniffContainer(head: Uint8Array): Container {
  const text = (start: number, end: number) => String.fromCharCode(...head.subarray(start, end));
  const magic = text(0, 4);
  if (magic === "RIFF" || magic === "RF64" || magic === "RIFX")
    return text(8, 12) === "WAVE" ? "wav" : "foreign";
  if (magic === "fLaC") return "flac";
  if (magic === "OggS") return oggCodec(text(28, 36));
  if (magic === "\x1a\x45\xdf\xa3") return text(0, SNIFF_BYTES).includes("A_OPUS") ? "webm-opus" : "foreign";
  if (text(0, 3) === "ID3" || isMpegFrame(head)) return "mp3";
  return "foreign";
}

/** By the first packet, which a page of one segment holds from byte 28 on. */
function oggCodec(packet: string): Container {
  if (packet.startsWith("OpusHead")) return "ogg-opus";
  if (packet.startsWith("\x01vorbis")) return "ogg-vorbis";
  return packet.startsWith("\x7fFLAC") ? "ogg-flac" : "foreign";
}

/** A frame header of MPEG layer 1 to 3 with a real bitrate and rate (ADTS AAC has the same sync word, but layer bits 0). */
function isMpegFrame(head: Uint8Array): boolean {
  const [a = 0, b = 0, c = 0] = head;
  const version = (b >> 3) & 3;
  return (
    a === 0xff &&
    (b & 0xe0) === 0xe0 &&
    version !== 1 &&
    (b & 6) !== 0 &&
    c >> 4 !== 15 &&
    ((c >> 2) & 3) !== 3
  );
}
