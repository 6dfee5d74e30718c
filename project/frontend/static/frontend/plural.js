// Plural forms of the texts.

const RULES = { en: new Intl.PluralRules("en"), ru: new Intl.PluralRules("ru") };

/** Return the form for a number: `plural("ru", 3, { one: "сделка", few: "сделки", many: "сделок" })`. */
export const plural = (language, count, forms) => forms[RULES[language].select(count)] ?? forms.many ?? forms.other;

/** Return a number with its form: "3 сделки". */
export const counted = (language, count, forms) =>
  `${new Intl.NumberFormat(language).format(count)} ${plural(language, count, forms)}`;
