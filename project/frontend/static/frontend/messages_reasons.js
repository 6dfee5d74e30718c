// Why a file is rejected, in Russian; the messages of the service are in English.

/** By error code. */
export const REJECTIONS = {
  unreadable_upload: "Файл не удалось прочитать как таблицу сделок.",
  upload_too_large: "Файл превышает ограничения сервиса: слишком велик он сам, число строк или число разных имён.",
  upload_changed: "Данные за это время изменил кто-то другой.",
  request_too_large: "Файл слишком велик.",
  not_allowed: "С этой страницы нельзя загружать файлы.",
  too_many_requests: "Слишком много запросов.",
  database_busy: "База данных временно недоступна. Повторите попытку позже.",
  queue_full: "Слишком много файлов ожидает загрузки. Повторите попытку позже.",
  no_room: "На диске сервиса закончилось место.",
  internal_error: "Произошла внутренняя ошибка; она записана в журнал сервиса.",
};

const SAVE_AS_CSV = "сохраните таблицу в формате CSV";
const SAVE_AS_UTF8 = "сохраните файл в формате CSV UTF-8";
const UNPACK = "отправьте файл, который лежит внутри";

/** By the reason code of a file that is not a table of deals: sentences, and functions of its params. */
export const FILE_REASONS = {
  empty_file: "Файл пуст.",
  no_deals: "В файле есть заголовок, но нет сделок.",
  excel_workbook: ({ extension }) => `Это книга Excel (${extension}); ${SAVE_AS_CSV}.`,
  opendocument_spreadsheet: `Это таблица OpenDocument (.ods); ${SAVE_AS_CSV}.`,
  parquet_file: `Это файл Parquet; ${SAVE_AS_CSV}.`,
  sqlite_database: "Это база данных SQLite; выгрузите таблицу в формат CSV.",
  rtf_document: `Это документ RTF; ${SAVE_AS_CSV}.`,
  pdf_document: "Это документ PDF, а не таблица CSV.",
  image: ({ format }) => `Это изображение ${format}, а не таблица CSV.`,
  compressed: ({ program }) => `Файл сжат (${program}); ${UNPACK}.`,
  archive: ({ format }) => `Это архив ${format}; ${UNPACK}.`,
  json: `Похоже на JSON; ${SAVE_AS_CSV}.`,
  markup: `Похоже на HTML или XML; ${SAVE_AS_CSV}.`,
  utf_32: `Текст в кодировке UTF-32; ${SAVE_AS_UTF8}.`,
  invalid_utf_16: `Текст повреждён: это не UTF-16; ${SAVE_AS_UTF8}.`,
  nul_bytes: `В файле есть нулевые байты, как в кодировке UTF-16; ${SAVE_AS_UTF8}.`,
  mac_cyrillic: `Возможно, это кодировка Mac (MacCyrillic); ${SAVE_AS_UTF8}.`,
  row_too_long: ({ line, maximum }) =>
    `Это не таблица сделок: строка ${line} или одна из следующих длиннее допустимого (байтов: ${maximum}).`,
  no_header: ({ lines }) => `Нет заголовка среди первых строк файла (${lines}).`,
  header_missing: ({ line, header }) => `Нет заголовка: строка ${line} уже содержит сделку. Вставьте над ней строку ${header}.`,
  deal_above_header: ({ line, header_line }) =>
    `В строке ${line} сделка, но заголовок ниже, в строке ${header_line}; поставьте его первым.`,
  columns_in_one_cell: ({ line }) => `В строке ${line} все столбцы в одной ячейке; сохраните файл без кавычек вокруг целых строк.`,
};

/** By the reason code of an invalid cell or row: texts, and functions of its params. */
export const REASONS = {
  // The text and the header
  not_utf8: "текст не в кодировке UTF-8",
  missing_column: "столбца нет в заголовке",
  repeated_column: "столбец указан в заголовке несколько раз",
  // Rows
  wrong_cell_count: ({ cells, header_cells }) => `ячеек в строке: ${parseInt(cells)}, в заголовке: ${header_cells}`,
  repeated_header: "строка повторяет заголовок; удалите её",
  totals_row: "похоже на строку с итогами; удалите её",
  contains_deals: "внутри ячейки в кавычках оказались другие сделки; возможно, выше не закрыта кавычка",
  unclosed_quote: "кавычка открыта, но не закрыта",
  text_after_quote: "после закрывающей кавычки есть текст",
  cell_too_long: ({ maximum }) => `ячейка длиннее допустимого (символов: ${maximum}); возможно, выше не закрыта кавычка`,
  line_break: "разрыв строки не LF и не CRLF",
  not_csv: "строка нарушает формат CSV",
  // The end of an incomplete list of errors
  too_many_errors: ({ maximum }) => `это последняя прочитанная строка: число ошибок в файле достигло ${maximum}`,
  // All cells
  empty: "ячейка пуста",
  spreadsheet_error: "ошибка формулы из электронной таблицы",
  column_too_narrow: "так электронная таблица сохраняет значения слишком узкого столбца; расширьте его и сохраните файл заново",
  // Names
  name_too_long: ({ maximum }) => `название длиннее допустимого (символов: ${maximum})`,
  control_character: "есть перевод строки или другой управляющий символ",
  letters_lost: "при сохранении файла потерялись буквы; сохраните его в формате CSV UTF-8",
  null: "\\N означает пропущенное значение",
  misplaced_quote: "перед кавычкой стоит невидимый символ; удалите его",
  // Amounts and quantities
  not_an_amount: "не похоже на сумму; пример: 612 или 100.50",
  negative: "значение не может быть отрицательным",
  too_many_decimals: "больше двух знаков в дробной части",
  too_many_digits: ({ maximum }) => `слишком много цифр в целой части (допустимо: ${maximum})`,
  ambiguous_separator: "неясно, отделяет ли знак тысячи или дробную часть; запишите целое число или два знака в дробной части",
  currency: "указан знак валюты; оставьте только число",
  exponent: "экспоненциальная запись, в ней могли потеряться цифры; задайте столбцу числовой формат",
  not_a_quantity: "не целое число от 1 и больше",
  // Dates
  not_a_date: "не похоже на дату и время; пример: 2018-12-14 08:29:52",
  no_such_date: "такой даты или такого времени не бывает",
  too_many_second_decimals: "больше шести знаков в долях секунды",
  day_missing: "нет дня: электронная таблица сохранила только время; задайте столбцу формат гггг-мм-дд чч:мм:сс или отправьте исходный файл",
  time_missing: "нет времени суток; запишите так: 2018-12-14 08:29:52",
  serial_number: "порядковый номер даты из электронной таблицы; задайте столбцу формат гггг-мм-дд чч:мм:сс",
  unix_timestamp: "метка времени Unix; запишите так: 2018-12-14 08:29:52",
  day_or_month_first: "неясно, что стоит первым, день или месяц; запишите так: 2018-12-14 08:29:52",
  two_digit_year: "год из двух цифр; запишите так: 2018-12-14 08:29:52",
  twelve_hour_clock: "время с AM или PM; запишите по 24-часовой шкале: 2018-12-14 08:29:52",
};
