//! Examples of `validate`.

use contracts::Example;

pub(super) const EXAMPLES: &[Example] = &[
    Example {
        title: "what is missing, too small or unknown is rejected with every reason",
        config: r#"{"checks": [
            {"not_null": ["id", "day"]},
            {"range": {"amount": {"min": 0, "max": 1000.5}}},
            {"in_set": {"status": ["paid", "open"]}}
        ]}"#,
        inputs: &[(
            "rows",
            "{\"#types\": {\"day\": \"date\", \"amount\": \"decimal(9,2)\"}}\n\
             {\"id\": 1, \"day\": \"2026-01-31\", \"amount\": \"0.00\", \"status\": \"paid\", \
             \"_file\": \"a.csv\", \"_row\": 2}\n\
             {\"id\": null, \"day\": \"2026-01-31\", \"amount\": \"-1.00\", \"status\": \"gone\", \
             \"_file\": \"a.csv\", \"_row\": 3}\n\
             {\"id\": 3, \"day\": \"2026-02-01\", \"amount\": \"1000.51\", \"status\": null, \
             \"_file\": \"a.csv\", \"_row\": 4}\n\
             {\"id\": 4, \"day\": \"2026-02-01\", \"amount\": null, \"status\": \"open\", \
             \"_file\": \"a.csv\", \"_row\": 5}",
        )],
        outputs: &[
            (
                "out",
                "{\"#types\": {\"day\": \"date\", \"amount\": \"decimal(9,2)\"}}\n\
                 {\"id\": 1, \"day\": \"2026-01-31\", \"amount\": \"0.00\", \"status\": \"paid\", \
                 \"_file\": \"a.csv\", \"_row\": 2}\n\
                 {\"id\": 4, \"day\": \"2026-02-01\", \"amount\": null, \"status\": \"open\", \
                 \"_file\": \"a.csv\", \"_row\": 5}",
            ),
            (
                "rejects",
                "{\"_file\": \"a.csv\", \"_row\": 3, \"_errors\": [\
                 {\"column\": \"id\", \"value\": null, \"reason\": \"is missing\"}, \
                 {\"column\": \"amount\", \"value\": \"-1.00\", \"reason\": \"is less than 0\"}, \
                 {\"column\": \"status\", \"value\": \"gone\", \
                 \"reason\": \"is not one of `paid`, `open`\"}], \
                 \"_record\": \"{\\\"id\\\":null,\\\"day\\\":\\\"2026-01-31\\\",\
                 \\\"amount\\\":-1.00,\\\"status\\\":\\\"gone\\\"}\"}\n\
                 {\"_file\": \"a.csv\", \"_row\": 4, \"_errors\": [\
                 {\"column\": \"amount\", \"value\": \"1000.51\", \
                 \"reason\": \"is more than 1000.5\"}], \
                 \"_record\": \"{\\\"id\\\":3,\\\"day\\\":\\\"2026-02-01\\\",\
                 \\\"amount\\\":1000.51,\\\"status\\\":null}\"}",
            ),
        ],
    },
    Example {
        title: "all but the first row with a key are rejected",
        config: r#"{"checks": [{"unique": ["shop", "id"], "order_by": "at"}]}"#,
        inputs: &[(
            "rows",
            "{\"shop\": \"a\", \"id\": 1, \"at\": 20}\n{\"shop\": \"a\", \"id\": 1, \"at\": 10}\n\
             {\"shop\": \"b\", \"id\": 1, \"at\": 30}\n{\"shop\": null, \"id\": 1, \"at\": 40}\n\
             {\"shop\": null, \"id\": 1, \"at\": 50}",
        )],
        outputs: &[
            (
                "out",
                "{\"shop\": \"a\", \"id\": 1, \"at\": 10}\n{\"shop\": \"b\", \"id\": 1, \"at\": \
                 30}\n\
                 {\"shop\": null, \"id\": 1, \"at\": 40}\n{\"shop\": null, \"id\": 1, \"at\": 50}",
            ),
            (
                "rejects",
                "{\"_errors\": [{\"column\": \"shop, id\", \
                 \"value\": \"{\\\"shop\\\":\\\"a\\\",\\\"id\\\":1}\", \
                 \"reason\": \"repeats an earlier row\"}], \
                 \"_record\": \"{\\\"shop\\\":\\\"a\\\",\\\"id\\\":1,\\\"at\\\":20}\"}",
            ),
        ],
    },
    Example {
        title: "the form of texts",
        config: r#"{"checks": [
            {"regex": {"code": "^[A-Z]{2}"}, "length": {"code": {"max": 4}}},
            {"email": "mail", "url": "site"}
        ]}"#,
        inputs: &[(
            "rows",
            "{\"code\": \"FR75\", \"mail\": \"ana@example.org\", \"site\": \
             \"https://example.org\"}\n\
             {\"code\": \"fr755\", \"mail\": \"ana@example\", \"site\": \"example.org\"}\n\
             {\"code\": null, \"mail\": null, \"site\": null}",
        )],
        outputs: &[
            (
                "out",
                "{\"code\": \"FR75\", \"mail\": \"ana@example.org\", \"site\": \
                 \"https://example.org\"}\n\
                 {\"code\": null, \"mail\": null, \"site\": null}",
            ),
            (
                "rejects",
                "{\"_errors\": [\
                 {\"column\": \"code\", \"value\": \"fr755\", \
                 \"reason\": \"does not match `^[A-Z]{2}`\"}, \
                 {\"column\": \"code\", \"value\": \"fr755\", \
                 \"reason\": \"is longer than 4 characters\"}, \
                 {\"column\": \"mail\", \"value\": \"ana@example\", \
                 \"reason\": \"is not an e-mail address\"}, \
                 {\"column\": \"site\", \"value\": \"example.org\", \
                 \"reason\": \"is not a web address\"}], \
                 \"_record\": \"{\\\"code\\\":\\\"fr755\\\",\\\"mail\\\":\\\"ana@example\\\",\
                 \\\"site\\\":\\\"example.org\\\"}\"}",
            ),
        ],
    },
    Example {
        title: "a condition over the row; what it cannot decide passes",
        config: r#"{"checks": [{"name": "ends after it starts", "expression": "until >= since"}]}"#,
        inputs: &[(
            "rows",
            "{\"since\": 1, \"until\": 2}\n{\"since\": 3, \"until\": 2}\n{\"since\": 3, \
             \"until\": null}",
        )],
        outputs: &[
            ("out", "{\"since\": 1, \"until\": 2}\n{\"since\": 3, \"until\": null}"),
            (
                "rejects",
                "{\"_errors\": [{\"column\": \"\", \"value\": null, \
                 \"reason\": \"fails `ends after it starts`\"}], \
                 \"_record\": \"{\\\"since\\\":3,\\\"until\\\":2}\"}",
            ),
        ],
    },
    Example {
        title: "a warning lets the rows through",
        config: r#"{"checks": [
            {"not_null": "mail", "severity": "warn"}, {"row_count": {"min": 1}}
        ]}"#,
        inputs: &[(
            "rows",
            "{\"id\": 1, \"mail\": null}\n{\"id\": 2, \"mail\": \"b@example.org\"}",
        )],
        outputs: &[(
            "out",
            "{\"id\": 1, \"mail\": null}\n{\"id\": 2, \"mail\": \"b@example.org\"}",
        )],
    },
];
