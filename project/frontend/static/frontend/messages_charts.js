// Texts of the charts.

export const MESSAGES = {
  en: {
    byMonth: "Total by month", byGem: "Total by gem",
  },
  ru: {
    byMonth: "Сумма по месяцам", byGem: "Сумма по камням",
  },
};
