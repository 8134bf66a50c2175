// 74 texts inside what both mini models know: 40 strings of 3 to 7 digits, and 34 sentences.

const DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];

/** Numerical Recipes' generator, so that everybody speaks the same digits. */
function digitStrings(count) {
  let state = 20240607;
  const below = (limit) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
  return Array.from({ length: count }, () => {
    const words = Array.from({ length: 3 + below(5) }, () => DIGITS[below(10)]).join(" ");
    return `${words[0].toUpperCase()}${words.slice(1)}.`;
  });
}

const SENTENCES = [
  "Turn on the kitchen light.",
  "Turn off the kitchen light.",
  "Turn on the bathroom light.",
  "Turn off the garage light.",
  "Turn on the hallway light.",
  "Turn off the office light.",
  "Turn on the garden light.",
  "Set the kitchen light to blue.",
  "Set the office light to red.",
  "Set the garage light to green.",
  "Set the bathroom light to white.",
  "Set the hallway light to yellow.",
  "Set a timer for six seconds.",
  "Set a timer for ten minutes.",
  "Set a timer for forty minutes.",
  "Set a timer for twelve hours.",
  "Set a timer for thirty seconds.",
  "Set a timer for twenty minutes.",
  "What is the weather today?",
  "What is the weather tomorrow?",
  "What time is it?",
  "Play the next song.",
  "Today is Monday.",
  "Today is Thursday.",
  "Today is Friday.",
  "Today is Sunday.",
  "Volume up.",
  "Volume down.",
  "Turn left.",
  "Turn right.",
  "Stop the music.",
  "Good night.",
  "Thank you.",
  "Go to the kitchen.",
];

export const SPEECH_TEXTS = [
  ...digitStrings(40).map((text) => ({ text, kind: "digits" })),
  ...SENTENCES.map((text) => ({ text, kind: "sentence" })),
];
