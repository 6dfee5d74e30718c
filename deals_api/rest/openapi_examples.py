"""Examples of the OpenAPI description: the responses to the file of the brief; tests/test_openapi.py verifies them."""

from __future__ import annotations

from typing import Final

TOP_CLIENTS: Final = [
    {"username": "resplendent", "spent_money": 451731, "gems": ["Рубин", "Сапфир", "Танзанит"]},
    {"username": "bellwether", "spent_money": 217794, "gems": ["Петерсит", "Сапфир"]},
    {"username": "uvulaperfly117", "spent_money": 120419, "gems": ["Петерсит", "Танзанит"]},
    {"username": "braggadocio", "spent_money": 108957, "gems": ["Изумруд"]},
    {"username": "turophile", "spent_money": 100132, "gems": ["Изумруд", "Рубин"]},
]
#: The first lines of each export.
EXPORTS: Final = {
    "deals.csv": "customer,item,total,quantity,date\nbellwether,Цаворит,612,6,2018-12-14 08:29:52.506166\n",
    "deals.ndjson": '{"customer":"bellwether","item":"Цаворит","total":612,"quantity":6,'
    '"date":"2018-12-14T08:29:52.506166+00:00"}\n',
    "top-clients.csv": 'username,spent_money,gems\nresplendent,451731,"Рубин, Сапфир, Танзанит"\n',
    "top-clients.ndjson": '{"username":"resplendent","spent_money":451731,"gems":["Рубин","Сапфир","Танзанит"]}\n',
}
UPLOAD_STATUS: Final = {
    "Status": "OK",
    "Report": {
        "rows": 767,
        "customers": 18,
        "gems": 25,
        "first_date": "2018-12-14T08:29:52.506166Z",
        "last_date": "2019-12-13T18:17:21.866834Z",
        "total": 1509597,
        "encoding": "UTF-8",
        "delimiter": ",",
        "decimal_separator": "",
        "date_format": "YYYY-MM-DD",
    },
    "State": "loaded",
    "RowsRead": 767,
    "BytesRead": 46952,
    "TotalBytes": 46952,
    "Upload": "VXBsb2FkOjAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAw",
}
