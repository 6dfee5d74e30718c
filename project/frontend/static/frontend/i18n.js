// What the page says, in two languages, and how numbers and dates are written in each.

const WORDS = {
  en: {
    title: "Deals in gems",
    subtitle: "Upload the history of your deals; see who spent most and what they share.",
    language: "Language",
    theme: "Colours",
    auto: "as the system", light: "light", dark: "dark",
    graphiql: "GraphiQL", docs: "REST API", admin: "Admin",
    upload: "Upload a file",
    drop: "Drop a deals.csv here, or choose one",
    dropHint: "CSV with the columns customer, item, total, quantity, date. It replaces what is shown below.",
    sending: (share) => `Sending: ${share} %`,
    processing: "The service reads the file…",
    accepted: (name) => `${name} was accepted.`,
    refused: (name) => `${name} was refused. What is shown below has not changed.`,
    problems: "Places to mend",
    line: "Line", column: "Column", value: "Value", reason: "What is wrong",
    wholeLine: "whole line",
    onlyFirst: (count) => `Only the first ${count} are listed.`,
    tooOften: (seconds) => `Too many requests; try again in ${seconds} s.`,
    noAnswer: "The service does not answer. Is it running?",
    tokenNeeded: "This service asks for a token.",
    token: "Token", useToken: "Use it",
    empty: "Nothing has been uploaded yet. Drop a file above to begin.",
    current: (name, time) => `${name}, arrived ${time}`,
    deals: "Deals", customers: "Customers", gems: "Gems",
    topClients: "Who spent most",
    sharedGems: "gems shared with another of the five",
    noShared: "none",
    byMonth: "Money by month", byGem: "Money by gem",
    dealsIn: (count) => `${count} deals`,
    customer: "Customer", gem: "Gem", total: "Total", quantity: "Pieces", date: "Date",
    spent: "Spent", dealCount: "Deals", gemCount: "Gems", buyerCount: "Buyers", lastDeal: "Last deal",
    contains: (what) => `${what} contains`,
    from: "From", until: "Until",
    found: (count) => `${count} found`,
    loading: "Loading…",
    history: "History of files",
    file: "File", arrived: "Arrived", uploadedBy: "Uploaded by", state: "State", actions: "What to do",
    states: {
      LOADED: "kept", LOADING: "being read", REFUSED: "refused", INTERRUPTED: "interrupted",
      RETIRED: "no longer retained", PRUNED: "no longer retained",
    },
    isCurrent: "current",
    makeCurrent: "Make current", compare: "Compare with current",
    madeCurrent: (name) => `${name} is current now.`,
    comparison: "Comparison", then: "That file", now: "Current file", difference: "Difference",
    sum: "Sum of all deals", close: "Close",
    more: "Show more",
  },
  ru: {
    title: "Сделки с камнями",
    subtitle: "Загрузите историю сделок и узнайте, кто потратил больше всех и какие камни у них общие.",
    language: "Язык",
    theme: "Оформление",
    auto: "как в системе", light: "светлое", dark: "тёмное",
    graphiql: "GraphiQL", docs: "REST API", admin: "Админка",
    upload: "Загрузка файла",
    drop: "Перетащите сюда deals.csv или выберите файл",
    dropHint: "CSV со столбцами customer, item, total, quantity, date. Он заменит то, что показано ниже.",
    sending: (share) => `Отправка: ${share} %`,
    processing: "Сервис читает файл…",
    accepted: (name) => `Файл ${name} принят.`,
    refused: (name) => `Файл ${name} не принят. То, что показано ниже, не изменилось.`,
    problems: "Что исправить",
    line: "Строка", column: "Столбец", value: "Значение", reason: "Что не так",
    wholeLine: "вся строка",
    onlyFirst: (count) => `Показаны только первые ${count}.`,
    tooOften: (seconds) => `Слишком много запросов, попробуйте через ${seconds} с.`,
    noAnswer: "Сервис не отвечает. Он запущен?",
    tokenNeeded: "Этот сервис спрашивает токен.",
    token: "Токен", useToken: "Использовать",
    empty: "Пока ничего не загружено. Перетащите файл в поле выше.",
    current: (name, time) => `${name}, получен ${time}`,
    deals: "Сделки", customers: "Покупатели", gems: "Камни",
    topClients: "Кто потратил больше всех",
    sharedGems: "камни, которые купил ещё кто-то из пяти",
    noShared: "нет",
    byMonth: "Деньги по месяцам", byGem: "Деньги по камням",
    dealsIn: (count) => `сделок: ${count}`,
    customer: "Покупатель", gem: "Камень", total: "Сумма", quantity: "Штук", date: "Дата",
    spent: "Потрачено", dealCount: "Сделок", gemCount: "Камней", buyerCount: "Покупателей", lastDeal: "Последняя сделка",
    contains: (what) => `${what} содержит`,
    from: "С", until: "По",
    found: (count) => `найдено: ${count}`,
    loading: "Загрузка…",
    history: "История файлов",
    file: "Файл", arrived: "Получен", uploadedBy: "Кто загрузил", state: "Состояние", actions: "Что сделать",
    states: {
      LOADED: "хранится", LOADING: "читается", REFUSED: "не принят", INTERRUPTED: "прерван",
      RETIRED: "больше не хранится", PRUNED: "больше не хранится",
    },
    isCurrent: "текущий",
    makeCurrent: "Сделать текущим", compare: "Сравнить с текущим",
    madeCurrent: (name) => `Теперь текущий файл: ${name}.`,
    comparison: "Сравнение", then: "Тот файл", now: "Текущий файл", difference: "Разница",
    sum: "Сумма всех сделок", close: "Закрыть",
    more: "Показать ещё",
  },
};

export const LANGUAGES = { en: "English", ru: "Русский" };

function preferred() {
  const wanted = localStorage.getItem("language") ?? navigator.language.slice(0, 2);
  return wanted in WORDS ? wanted : "en";
}

export let language = preferred();
export let words = WORDS[language];

export function speak(chosen) {
  localStorage.setItem("language", chosen);
  language = preferred();
  words = WORDS[language];
}

export const number = (value) => new Intl.NumberFormat(language).format(value);

/** Digits as the service wrote them, grouped; never through a floating-point number, which would lose cents. */
export function money(digits) {
  const [whole, cents] = digits.replace("-", "").split(".");
  const grouped = new Intl.NumberFormat(language).format(BigInt(whole));
  const point = language === "ru" ? "," : ".";
  return (digits.startsWith("-") ? "−" : "") + grouped + (cents ? point + cents.padEnd(2, "0") : "");
}

const inHundredths = (digits) => {
  const [whole, cents = ""] = digits.split(".");
  return BigInt(whole) * 100n + BigInt(cents.padEnd(2, "0") || "0");
};

/** One amount less another, exactly, as digits. */
export function moneyLess(digits, other) {
  const less = inHundredths(digits) - inHundredths(other);
  const [sign, rest] = less < 0n ? ["-", -less] : ["", less];
  const cents = String(rest % 100n).padStart(2, "0");
  return `${sign}${rest / 100n}${cents === "00" ? "" : `.${cents}`}`;
}

export const moment = (iso) =>
  new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short", timeZone: "UTC" }).format(new Date(iso));

export const month = (iso) =>
  new Intl.DateTimeFormat(language, { month: "short", year: "numeric", timeZone: "UTC" }).format(new Date(iso));
