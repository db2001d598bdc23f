//! Texts: cleaned, tested, masked.

mod accents;
mod addresses;
mod clean;
mod html;
mod mask;
mod names;
mod regexes;

use contracts::function::ScalarFunction;

pub(crate) const ALL: &[ScalarFunction] = &[
    clean::IS_BLANK,
    clean::TRIM_TEXT,
    clean::NULL_WHERE,
    clean::SQUEEZE_SPACES,
    clean::STRIP_SPECIAL,
    clean::STRIP_URLS,
    html::STRIP_HTML,
    accents::FOLD_ACCENTS,
    names::LAKE_NAME,
    regexes::REGEX_MATCHES,
    regexes::REGEX_FULL_MATCH,
    regexes::REGEX_FIND,
    addresses::IS_EMAIL,
    addresses::IS_URL,
    mask::MASK,
];
