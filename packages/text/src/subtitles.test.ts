import { goldensFolder, readGoldenJson } from "@voxquant/goldens";
import { toCsv, toJsonSegments, toLrc, toSrt, toTxt, toVtt, type TextSegment } from "./subtitles.js";

interface SubtitlesGolden {
  segments: TextSegment[];
  expected: Record<string, unknown>;
}

const path = goldensFolder("pipeline", "subtitles", "subtitles.json");

(path === null ? test.skip : test)("goldens", () => {
  const { segments, expected } = readGoldenJson<SubtitlesGolden>(path!);
  const speakers = true;
  const written: Record<string, unknown> = {
    txt: toTxt(segments),
    srt: toSrt(segments),
    vtt: toVtt(segments),
    vtt_speaker: toVtt(segments, { speakers }),
    lrc: toLrc(segments),
    csv: toCsv(segments),
    csv_speaker: toCsv(segments, { speakers }),
    json_segments: toJsonSegments(segments),
  };
  for (const [format, content] of Object.entries(expected))
    expect([format, written[format]]).toEqual([format, content]);
});

test("a speaker's name cannot break a cue or a row", () => {
  const segments = [{ start: 0, end: 1, text: "x", speaker: 'a>\n\n1 & "b"' }];
  expect(toVtt(segments, { speakers: true })).toBe(
    'WEBVTT\n\n00:00:00.000 --> 00:00:01.000\n<v a&gt; 1 &amp; "b">x\n\n',
  );
  expect(toCsv(segments, { speakers: true })).toBe('start,end,speaker,text\n0,1000,"a> 1 & ""b""","x"\n');
  expect(toJsonSegments(segments, { speakers: true })[0]).toMatchObject({ speaker: segments[0]!.speaker });
});

test("no segments", () => {
  const blank = [{ start: 0, end: 1, text: " \u2028" }];
  expect([toTxt(blank), toSrt(blank), toVtt(blank), toLrc([]), toCsv([])]).toEqual([
    ...["", "", "WEBVTT\n\n", "[by:voxquant]\n", "start,end,text\n"],
  ]);
});
