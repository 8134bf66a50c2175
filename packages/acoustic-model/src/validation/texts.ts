/** What a validation speaks unless it is given texts: everyday sentences, by language. */
const TEXTS: Readonly<Record<string, readonly string[]>> = {
  english: [
    "Turn on the kitchen light.",
    "What is the weather tomorrow?",
    "Set a timer for six seconds.",
    "Seven five eight seven.",
    "Today is Monday the fifth of September.",
    "Set the kitchen light to yellow.",
  ],
  german: [
    "Mach bitte das Licht in der Küche an.",
    "Wie wird das Wetter morgen?",
    "Der nächste Zug nach Berlin fährt um halb neun.",
    "Ich habe meine Schlüssel auf dem Tisch liegen lassen.",
  ],
  russian: [
    "Включи, пожалуйста, свет на кухне.",
    "Какая погода будет завтра?",
    "Поезд отправляется в половине девятого.",
    "Я забыл ключи на столе.",
  ],
  chinese: ["请打开厨房的灯。", "明天天气怎么样？", "火车八点半出发。", "我把钥匙忘在桌子上了。"],
  japanese: [
    "台所の電気をつけてください。",
    "明日の天気はどうですか。",
    "電車は八時半に出発します。",
    "鍵を机の上に忘れました。",
  ],
  korean: [
    "부엌 불을 켜 주세요.",
    "내일 날씨는 어때요?",
    "기차는 여덟 시 반에 출발합니다.",
    "열쇠를 책상 위에 두고 왔어요.",
  ],
  french: [
    "Allume la lumière de la cuisine, s'il te plaît.",
    "Quel temps fera-t-il demain ?",
    "Le prochain train part à huit heures et demie.",
    "J'ai laissé mes clés sur la table.",
  ],
  spanish: [
    "Enciende la luz de la cocina, por favor.",
    "¿Qué tiempo hará mañana?",
    "El próximo tren sale a las ocho y media.",
    "He dejado las llaves en la mesa.",
  ],
  italian: [
    "Accendi la luce in cucina, per favore.",
    "Che tempo farà domani?",
    "Il prossimo treno parte alle otto e mezza.",
    "Ho lasciato le chiavi sul tavolo.",
  ],
  portuguese: [
    "Acende a luz da cozinha, por favor.",
    "Como vai estar o tempo amanhã?",
    "O próximo comboio parte às oito e meia.",
    "Deixei as chaves em cima da mesa.",
  ],
};

/**
 * Sentences for a comparison of two models.
 * @param language of the texts; `auto`, or one without sentences of its own, gives the English ones
 */
export function validationTexts(language = "auto"): readonly string[] {
  return TEXTS[language.toLowerCase()] ?? TEXTS["english"]!;
}
