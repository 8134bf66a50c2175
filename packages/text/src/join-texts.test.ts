import { joinTexts } from "./join-texts.js";

test.each([
  [[], ""],
  [["", "  "], ""],
  [["Hello there.", " General Kenobi. "], "Hello there. General Kenobi."],
  [["今天天气很好。", "我们去公园"], "今天天气很好。我们去公园"],
  [["今天用", "iPhone", "拍照"], "今天用 iPhone 拍照"],
  [["カタカナー", "ひらがな", "𠀀"], "カタカナーひらがな𠀀"],
  [["오늘은", "", "날씨가"], "오늘은 날씨가"],
  [["Hi!", "你好"], "Hi! 你好"],
])("%j", (pieces, joined) => {
  expect(joinTexts(pieces)).toBe(joined);
});
