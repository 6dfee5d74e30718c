// Texts of the page in English and Russian, and formats of numbers and dates.

import { storageKey } from "./dom.js";

const MESSAGES = {
  en: {
    title: "Deals in gems",
    subtitle: "Upload your deal history to see the top customers and the gems they have in common.",
    language: "Language",
    theme: "Theme",
    auto: "System", light: "Light", dark: "Dark",
    graphiql: "GraphiQL", docs: "REST API", admin: "Admin",
    upload: "Upload a file",
    drop: "Drop a deals.csv file here, or choose a file",
    dropHint: "CSV with the columns customer, item, total, quantity and date. It replaces the data shown below.",
    uploading: (percent) => `Uploading: ${percent}%`,
    processing: "Processing…",
    accepted: (name) => `${name} was accepted.`,
    rejected: (name) => `${name} was rejected. The data shown below has not changed.`,
    problems: "Errors to fix",
    line: "Line", column: "Column", value: "Value", reason: "Reason",
    wholeLine: "whole line",
    onlyFirst: (count) => `Only the first ${count} errors are shown; the file may contain more.`,
    rateLimited: (seconds) => `Too many requests. Try again in ${seconds} s.`,
    noResponse: "The service does not respond. Is it running?",
    tokenRequired: "This service requires an API token.",
    token: "Token", applyToken: "Apply",
    empty: "No data yet. Upload a file to begin.",
    currentFile: (name, time) => `${name}, uploaded ${time}`,
    deals: "Deals", customers: "Customers", gems: "Gems",
    topClients: "Top customers",
    sharedGems: "gems bought by at least two of these customers",
    noSharedGems: "none",
    byMonth: "Total by month", byGem: "Total by gem",
    countDeals: (count) => (count === 1 ? "1 deal" : `${count} deals`),
    customer: "Customer", gem: "Gem", total: "Total", quantity: "Quantity", date: "Date",
    spent: "Spent", dealCount: "Deals", gemCount: "Gems", buyerCount: "Buyers", lastDeal: "Last deal",
    contains: (name) => `${name} contains`,
    from: "From", until: "Until",
    found: (count) => `${count} found`,
    loading: "Loading…",
    history: "Upload history",
    file: "File", uploadedAt: "Uploaded", uploadedBy: "Uploaded by", state: "State", actions: "Actions",
    states: {
      LOADED: "retained", LOADING: "loading", REFUSED: "rejected", INTERRUPTED: "interrupted",
      RETIRED: "no longer retained", PRUNED: "no longer retained",
    },
    isCurrent: "current",
    makeCurrent: "Make current", compare: "Compare with current",
    madeCurrent: (name) => `${name} is now current.`,
    comparison: "Comparison", selected: "Selected file", current: "Current file", difference: "Difference",
    sum: "Total of all deals", close: "Close",
    more: "Show more",
  },
  ru: {
    title: "Сделки с камнями",
    subtitle: "Загрузите историю сделок, чтобы увидеть крупнейших покупателей и их общие камни.",
    language: "Язык",
    theme: "Тема",
    auto: "Системная", light: "Светлая", dark: "Тёмная",
    graphiql: "GraphiQL", docs: "REST API", admin: "Администрирование",
    upload: "Загрузка файла",
    drop: "Перетащите сюда файл deals.csv или выберите файл",
    dropHint: "CSV со столбцами customer, item, total, quantity и date. Файл заменит данные, показанные ниже.",
    uploading: (percent) => `Загрузка: ${percent} %`,
    processing: "Обработка…",
    accepted: (name) => `Файл ${name} принят.`,
    rejected: (name) => `Файл ${name} отклонён. Данные ниже не изменились.`,
    problems: "Ошибки в файле",
    line: "Строка", column: "Столбец", value: "Значение", reason: "Причина",
    wholeLine: "вся строка",
    onlyFirst: (count) => `Показаны первые ошибки (${count}); в файле могут быть и другие.`,
    rateLimited: (seconds) => `Слишком много запросов. Повторите попытку через ${seconds} с.`,
    noResponse: "Сервис не отвечает. Он запущен?",
    tokenRequired: "Для доступа к сервису нужен API-токен.",
    token: "Токен", applyToken: "Применить",
    empty: "Данных пока нет. Загрузите файл, чтобы начать.",
    currentFile: (name, time) => `${name}, загружен ${time}`,
    deals: "Сделки", customers: "Покупатели", gems: "Камни",
    topClients: "Крупнейшие покупатели",
    sharedGems: "камни, которые купили как минимум двое из этих покупателей",
    noSharedGems: "нет",
    byMonth: "Сумма по месяцам", byGem: "Сумма по камням",
    countDeals: (count) => `сделок: ${count}`,
    customer: "Покупатель", gem: "Камень", total: "Сумма", quantity: "Количество", date: "Дата",
    spent: "Потрачено", dealCount: "Сделок", gemCount: "Камней", buyerCount: "Покупателей", lastDeal: "Последняя сделка",
    contains: (name) => `${name} содержит`,
    from: "Дата с", until: "Дата по",
    found: (count) => `найдено: ${count}`,
    loading: "Загрузка…",
    history: "История загрузок",
    file: "Файл", uploadedAt: "Загружен", uploadedBy: "Кто загрузил", state: "Состояние", actions: "Действия",
    states: {
      LOADED: "хранится", LOADING: "загружается", REFUSED: "отклонён", INTERRUPTED: "прерван",
      RETIRED: "больше не хранится", PRUNED: "больше не хранится",
    },
    isCurrent: "текущий",
    makeCurrent: "Сделать текущим", compare: "Сравнить с текущим",
    madeCurrent: (name) => `Теперь текущий файл: ${name}.`,
    comparison: "Сравнение", selected: "Выбранный файл", current: "Текущий файл", difference: "Разница",
    sum: "Сумма всех сделок", close: "Закрыть",
    more: "Показать ещё",
  },
};

export const LANGUAGES = { en: "English", ru: "Русский" };

function preferredLanguage() {
  const code = localStorage.getItem(storageKey("language")) ?? navigator.language.slice(0, 2);
  return code in MESSAGES ? code : "en";
}

export let language = preferredLanguage();
export let messages = MESSAGES[language];

/** Change and store the language. The caller renders the page again. */
export function setLanguage(code) {
  localStorage.setItem(storageKey("language"), code);
  language = preferredLanguage();
  messages = MESSAGES[language];
}

// Numbers and dates

export const formatNumber = (value) => new Intl.NumberFormat(language).format(value);

/** Format an amount such as "1234.5" without a floating-point number, which would be inexact. */
export function formatMoney(digits) {
  const [whole, cents] = digits.replace("-", "").split(".");
  const grouped = new Intl.NumberFormat(language).format(BigInt(whole));
  const decimalPoint = language === "ru" ? "," : ".";
  return (digits.startsWith("-") ? "−" : "") + grouped + (cents ? decimalPoint + cents.padEnd(2, "0") : "");
}

const toCents = (digits) => {
  const [whole, cents = ""] = digits.split(".");
  return BigInt(whole) * 100n + BigInt(cents.padEnd(2, "0"));
};

/** Return the exact difference of two non-negative amounts, as a string of digits. */
export function subtractMoney(minuend, subtrahend) {
  const difference = toCents(minuend) - toCents(subtrahend);
  const [sign, absolute] = difference < 0n ? ["-", -difference] : ["", difference];
  const cents = String(absolute % 100n).padStart(2, "0");
  return `${sign}${absolute / 100n}${cents === "00" ? "" : `.${cents}`}`;
}

export const formatDateTime = (iso) =>
  new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short", timeZone: "UTC" }).format(new Date(iso));

export const formatMonth = (iso) =>
  new Intl.DateTimeFormat(language, { month: "short", year: "numeric", timeZone: "UTC" }).format(new Date(iso));
