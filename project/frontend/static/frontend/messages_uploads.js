// Texts of uploads and of the upload history.

import { counted } from "./plural.js";

const DEALS = { en: { one: "deal", other: "deals" }, ru: { one: "сделка", few: "сделки", many: "сделок" } };
const CUSTOMERS = {
  en: { one: "customer", other: "customers" },
  ru: { one: "покупатель", few: "покупателя", many: "покупателей" },
};
const GEMS = { en: { one: "gem", other: "gems" }, ru: { one: "камень", few: "камня", many: "камней" } };

const counts = (language) => (upload) =>
  [
    counted(language, upload.dealCount, DEALS[language]),
    counted(language, upload.customerCount, CUSTOMERS[language]),
    counted(language, upload.gemCount, GEMS[language]),
  ].join(", ");

export const MESSAGES = {
  en: {
    upload: "Upload a file",
    drop: "Drop a deals.csv file here, or choose a file",
    dropHere: "Drop the file to upload it",
    dropHint: "CSV with the columns customer, item, total, quantity and date. It replaces the data shown below.",
    oneFile: "Drop one file at a time.",
    checkOnly: "Check only",
    checkOnlyHint: "Read the file and report its errors, but change nothing.",
    cancel: "Cancel",
    trySample: "Try it with sample data", downloadSample: "Download the sample", downloadTemplate: "Download a template",
    newData: (name, time) => `New data: ${name}, uploaded ${time}.`, showNewData: "Show",
    history: "Upload history",
    uploadedBy: (name) => `by ${name}`,
    counts: counts("en"),
    states: {
      QUEUED: "waiting", LOADED: "retained", LOADING: "loading", REFUSED: "rejected", INTERRUPTED: "interrupted",
      CANCELLED: "cancelled", RETIRED: "no longer retained", PRUNED: "no longer retained",
    },
    isCurrent: "current",
    whyRejected: "Why was it rejected?",
    showVersion: "Show",
    makeCurrent: "Make current", compare: "Compare with current",
    confirmCurrent: (name) => `Make ${name} current?`,
    confirmCurrentHint: (deals) => `Everyone who uses this service will then see its data: ${deals}.`,
    madeCurrent: (name) => `${name} is now current.`,
    undo: "Undo",
    compareTwo: "Compare two versions", olderVersion: "From", newerVersion: "To", showComparison: "Compare",
  },
  ru: {
    upload: "Загрузка файла",
    drop: "Перетащите сюда файл deals.csv или выберите файл",
    dropHere: "Отпустите файл, чтобы загрузить его",
    dropHint: "CSV со столбцами customer, item, total, quantity и date. Файл заменит данные, показанные ниже.",
    oneFile: "Перетащите файлы по одному.",
    checkOnly: "Только проверить",
    checkOnlyHint: "Прочитать файл и сообщить об ошибках, ничего не меняя.",
    cancel: "Отменить",
    trySample: "Попробовать на примере", downloadSample: "Скачать пример", downloadTemplate: "Скачать шаблон",
    newData: (name, time) => `Новые данные: ${name}, загружен ${time}.`, showNewData: "Показать",
    history: "История загрузок",
    uploadedBy: (name) => `загрузил(а) ${name}`,
    counts: counts("ru"),
    states: {
      QUEUED: "ожидает", LOADED: "хранится", LOADING: "загружается", REFUSED: "отклонён", INTERRUPTED: "прерван",
      CANCELLED: "отменён", RETIRED: "больше не хранится", PRUNED: "больше не хранится",
    },
    isCurrent: "текущий",
    whyRejected: "Почему отклонён?",
    showVersion: "Показать",
    makeCurrent: "Сделать текущим", compare: "Сравнить с текущим",
    confirmCurrent: (name) => `Сделать файл ${name} текущим?`,
    confirmCurrentHint: (deals) => `После этого все, кто пользуется сервисом, увидят его данные: ${deals}.`,
    madeCurrent: (name) => `Теперь текущий файл: ${name}.`,
    undo: "Вернуть прежний",
    compareTwo: "Сравнить две версии", olderVersion: "Было", newerVersion: "Стало", showComparison: "Сравнить",
  },
};
