//! Whatever is written in whatever dialect is read back, wherever the chunks are cut.

use super::super::*;
use super::{Outcome, read_tuned};
use crate::testing::one_file;
use proptest::prelude::*;

#[derive(Debug, Clone)]
struct Writer {
    delimiter: char,
    quote: char,
    escape: Escape,
    newline: &'static str,
    quotes_all: bool,
}

impl Writer {
    fn write(&self, rows: &[Vec<Option<String>>]) -> String {
        let mut text = String::new();
        for row in rows {
            for (at, cell) in row.iter().enumerate() {
                if at > 0 {
                    text.push(self.delimiter);
                }
                let Some(cell) = cell else { continue };
                let specials = [self.delimiter, self.quote, '\n', '\r', '"', '\'', ' ', '\\'];
                if !self.quotes_all && !cell.is_empty() && !cell.contains(specials) {
                    text.push_str(cell);
                    continue;
                }
                text.push(self.quote);
                for character in cell.chars() {
                    match self.escape {
                        Escape::Doubled if character == self.quote => text.push(self.quote),
                        Escape::Backslash if character == self.quote || character == '\\' => {
                            text.push('\\');
                        }
                        _ => {}
                    }
                    text.push(character);
                }
                text.push(self.quote);
            }
            text.push_str(self.newline);
        }
        text
    }

    fn options(&self, width: usize) -> CsvOptions {
        CsvOptions {
            delimiter: Some(self.delimiter),
            quote: Some(Some(self.quote)),
            escape: Some(match self.escape {
                Escape::Backslash => '\\',
                _ => self.quote,
            }),
            header: Some(false),
            encoding: Some("utf-8".into()),
            columns: Some((0..width).map(|at| format!("c{at}")).collect()),
            ..CsvOptions::default()
        }
    }
}

fn writers() -> impl Strategy<Value = Writer> {
    (
        prop::sample::select(vec![',', ';', '\t', '|', '¦']),
        prop::sample::select(vec!['"', '\'']),
        prop::sample::select(vec![Escape::Doubled, Escape::Backslash]),
        prop::sample::select(vec!["\n", "\r\n"]),
        any::<bool>(),
    )
        .prop_map(|(delimiter, quote, escape, newline, quotes_all)| Writer {
            delimiter,
            quote,
            escape,
            newline,
            quotes_all,
        })
}

fn tables() -> impl Strategy<Value = Vec<Vec<Option<String>>>> {
    let cell = prop_oneof![
        3 => "[a-z0-9é,;|\"'\\\\ \n]{0,20}".prop_map(Some),
        1 => Just(None),
    ];
    // The first row is full, so that the width of the table can be seen.
    (2usize..5).prop_flat_map(move |width| {
        prop::collection::vec(prop::collection::vec(cell.clone(), width), 1..30).prop_map(
            move |mut rows| {
                let first = (0..width).map(|at| Some(format!("x{at}"))).collect();
                rows.insert(0, first);
                rows
            },
        )
    })
}

fn outcome(text: &[u8], options: &CsvOptions, chunk_bytes: usize) -> Outcome {
    let file = one_file("t.csv", text);
    let tuning = Tuning { chunk_bytes, batch_rows: 7, ..Tuning::default() };
    read_tuned(std::slice::from_ref(&file.file), options, &tuning).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_is_written_is_read(rows in tables(), writer in writers(), chunk in 1usize..200) {
        let text = writer.write(&rows);
        let read = outcome(text.as_bytes(), &writer.options(rows[0].len()), chunk);
        prop_assert_eq!(&read.rejects, &Vec::<String>::new());
        prop_assert_eq!(&read.rows, &rows);
    }

    #[test]
    fn chunks_may_end_anywhere(
        text in "([a-c]{0,3}[,\"\n\r é]{0,2}){0,60}",
        chunk in 1usize..50,
        quote in prop::sample::select(vec!['"', '\'']),
        escape in prop::sample::select(vec!['"', '\\']),
        skip in 0u64..2,
    ) {
        let escape = if escape == '"' { quote } else { escape };
        let options = CsvOptions {
            delimiter: Some(','),
            quote: Some(Some(quote)),
            escape: Some(escape),
            header: Some(false),
            columns: Some(vec!["a".into(), "b".into()]),
            skip,
            ..CsvOptions::default()
        };
        // The same layout for both, whatever the text: it is found out before chunks are cut.
        prop_assert_eq!(
            outcome(text.as_bytes(), &options, chunk),
            outcome(text.as_bytes(), &options, 1 << 20)
        );
    }

    #[test]
    fn damaged_bytes_are_found_wherever_chunks_end(
        mut bytes in prop::collection::vec(
            prop::sample::select(b"ab,,\n\n\"\xc3\xa9\xff".to_vec()), 1..200),
        chunk in 1usize..50,
    ) {
        bytes.splice(0..0, *b"a,b\n");
        let options = CsvOptions {
            delimiter: Some(','),
            header: Some(true),
            encoding: Some("utf-8".into()),
            ..CsvOptions::default()
        };
        prop_assert_eq!(outcome(&bytes, &options, chunk), outcome(&bytes, &options, 1 << 20));
    }
}
