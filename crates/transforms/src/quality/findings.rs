//! Checks as conditions: when a row fails, whom to blame and what to say.

use super::validate::{CheckConfig, Length, Range, Reference};
use crate::expressions;
use crate::order::OrderBy;
use crate::settings::invalid;
use crate::values::{is_text, literal, mismatch};
use arrow::datatypes::DataType;
use contracts::relational::{Check, CheckTest};
use contracts::settings::OneOrMany;
use contracts::sql::{Expr, Fragment, Ident, Joined, List, Text, ToFragment};
use contracts::{NamedInput, Severity, expr, piece};
use model::{Result, TableName};
use serde_json::Value;

/// Everything that the query needs.
#[derive(Default)]
pub(super) struct Findings {
    /// Arguments of `row_errors`, in fours.
    pub(super) errors: Vec<Fragment>,
    /// Arguments of `row_notes`, in pairs.
    pub(super) notes: Vec<Fragment>,
    /// Checks that the engine counts.
    pub(super) checks: Vec<Check>,
    /// Columns over windows.
    pub(super) windows: Vec<Fragment>,
    /// Tables to look into.
    pub(super) references: Vec<Lookup>,
}

/// A lake table whose keys are joined to the rows.
pub(super) struct Lookup {
    pub(super) table: TableName,
    pub(super) key: String,
    pub(super) column: String,
    /// The name of the column that has the key where it was found.
    pub(super) found: String,
}

/// A way in which a row fails.
struct Fault {
    failed: Expr,
    column: String,
    value: Fragment,
    reason: String,
}

/// Reads all checks against the columns of the input.
pub(super) fn collect(checks: &[CheckConfig], input: &NamedInput) -> Result<Findings> {
    let mut findings = Findings::default();
    for (at, check) in checks.iter().enumerate() {
        let path = format!("/checks/{at}");
        let before = findings.errors.len() + findings.checks.len();
        Collector { findings: &mut findings, input, check, path: &path }.collect()?;
        if findings.errors.len() + findings.checks.len() == before {
            return Err(invalid(&path, "the check tests nothing")
                .hint("give it a test, such as `not_null: [id]`"));
        }
    }
    Ok(findings)
}

struct Collector<'a> {
    findings: &'a mut Findings,
    input: &'a NamedInput,
    check: &'a CheckConfig,
    path: &'a str,
}

impl Collector<'_> {
    fn collect(&mut self) -> Result<()> {
        let check = self.check;
        for (at, column) in check.not_null.iter().enumerate() {
            self.known(column, &format!("not_null/{at}"))?;
            let failed = expr!("{} IS NULL", Ident(column))?;
            self.add("not_null", column, vec![fault(failed, column, "is missing")]);
        }
        self.unique(&check.unique, &check.order_by)?;
        for (column, allowed) in check.in_set.iter() {
            self.in_set(column, allowed)?;
        }
        for (column, range) in check.range.iter() {
            self.range(column, range)?;
        }
        for (column, pattern) in check.regex.iter() {
            self.regex(column, pattern)?;
        }
        for (column, length) in check.length.iter() {
            self.length(column, length)?;
        }
        for (at, column) in check.email.iter().enumerate() {
            self.text(column, &format!("email/{at}"))?;
            let failed = expr!("NOT is_email({})", Ident(column))?;
            self.add("email", column, vec![fault(failed, column, "is not an e-mail address")]);
        }
        for (at, column) in check.url.iter().enumerate() {
            self.text(column, &format!("url/{at}"))?;
            let failed = expr!("NOT is_url({})", Ident(column))?;
            self.add("url", column, vec![fault(failed, column, "is not a web address")]);
        }
        if let Some(reference) = &check.references {
            self.reference(reference)?;
        }
        if let Some(text) = &check.expression {
            self.expression(text)?;
        }
        self.whole()
    }

    fn setting(&self, below: &str) -> String {
        format!("{}/{below}", self.path)
    }

    fn known(&self, column: &str, below: &str) -> Result<&DataType> {
        Ok(self.input.column(column, &self.setting(below))?.data_type())
    }

    fn text(&self, column: &str, below: &str) -> Result<()> {
        let data_type = self.known(column, below)?;
        match is_text(data_type) {
            true => Ok(()),
            false => {
                Err(mismatch(column, data_type, "this check looks at texts", &self.setting(below)))
            }
        }
    }

    /// Adds the faults of one test: to the errors, or as a check that is noted.
    fn add(&mut self, test: &str, subject: &str, faults: Vec<Fault>) {
        let severity = self.check.severity.unwrap_or(Severity::Reject);
        if severity == Severity::Reject {
            for fault in faults {
                let (column, reason) = (Text(&fault.column), Text(&fault.reason));
                self.findings.errors.push(piece!(
                    "{}, {}, {}, {}",
                    fault.failed,
                    column,
                    fault.value,
                    reason
                ));
            }
            return;
        }
        let label = self.check.name.clone().unwrap_or_else(|| format!("{test}({subject})"));
        let number = self.findings.checks.len() as u64;
        let failed: Vec<Expr> = faults.into_iter().map(|fault| fault.failed).collect();
        self.findings.notes.push(piece!("{}, {}", Joined(failed, " OR "), number));
        self.findings.checks.push(Check { label, severity, test: CheckTest::Noted });
    }

    fn unique(&mut self, columns: &OneOrMany, order_by: &OrderBy) -> Result<()> {
        if columns.is_empty() {
            return match order_by.is_empty() {
                true => Ok(()),
                false => Err(invalid(&self.setting("order_by"), "`order_by` belongs to `unique`")
                    .hint("add `unique:`, or remove `order_by`")),
            };
        }
        for (at, column) in columns.iter().enumerate() {
            self.known(column, &format!("unique/{at}"))?;
        }
        let order = order_by.needed(self.input, &self.setting("order_by"))?;
        let keys: Vec<Ident<'_>> = columns.iter().map(Ident).collect();
        let number = self.free(&format!("unique:{}", self.findings.windows.len() + 1));
        self.findings.windows.push(piece!(
            "row_number() OVER (PARTITION BY {} ORDER BY {}) AS {}",
            List(keys.clone()),
            List(order),
            Ident(&number)
        ));
        let present = keys.iter().map(|key| piece!(" AND {} IS NOT NULL", key)).collect();
        let failed = expr!("{} > 1{}", Ident(&number), Joined::<Fragment>(present, ""))?;
        let (subject, value) = match columns.as_slice() {
            [only] => (only.clone(), Ident(only).to_fragment()),
            several => {
                let parts = several.iter().map(|name| piece!("{}, {}", Text(name), Ident(name)));
                (several.join(", "), piece!("named_struct({})", List(parts.collect())))
            }
        };
        let reason = "repeats an earlier row".to_owned();
        let fault = Fault { failed, column: subject.clone(), value, reason };
        self.add("unique", &subject, vec![fault]);
        Ok(())
    }

    /// A name that no column has.
    fn free(&self, name: &str) -> String {
        let mut name = name.to_owned();
        while self.input.has(&name) {
            name.push('_');
        }
        name
    }

    fn in_set(&mut self, column: &str, allowed: &[Value]) -> Result<()> {
        let setting = self.setting(&format!("in_set/{column}"));
        let data_type = self.input.column(column, &setting)?.data_type();
        if allowed.is_empty() {
            return Err(
                invalid(&setting, "no value is allowed").hint("list the values, as in `[a, b]`")
            );
        }
        let mut items = Vec::with_capacity(allowed.len());
        for (at, value) in allowed.iter().enumerate() {
            let setting = format!("{setting}/{at}");
            if value.is_null() {
                return Err(invalid(&setting, "a missing value always passes")
                    .hint("remove it, and use `not_null` to forbid it"));
            }
            items.push(literal(value, data_type, &setting)?);
        }
        let failed = expr!("{} NOT IN ({})", Ident(column), List(items))?;
        let reason = format!("is not one of {}", shown(allowed));
        self.add("in_set", column, vec![fault(failed, column, &reason)]);
        Ok(())
    }

    fn range(&mut self, column: &str, range: &Range) -> Result<()> {
        let setting = self.setting(&format!("range/{column}"));
        let data_type = self.input.column(column, &setting)?.data_type().clone();
        let mut faults = Vec::new();
        if let Some(min) = &range.min {
            let bound = bound(min, column, &data_type, &format!("{setting}/min"))?;
            let (failed, words) = match range.exclusive {
                false => (expr!("{} < {}", Ident(column), bound)?, "is less than"),
                true => (expr!("{} <= {}", Ident(column), bound)?, "is not more than"),
            };
            faults.push(fault(failed, column, &format!("{words} {}", plain(min))));
        }
        if let Some(max) = &range.max {
            let bound = bound(max, column, &data_type, &format!("{setting}/max"))?;
            let (failed, words) = match range.exclusive {
                false => (expr!("{} > {}", Ident(column), bound)?, "is more than"),
                true => (expr!("{} >= {}", Ident(column), bound)?, "is not less than"),
            };
            faults.push(fault(failed, column, &format!("{words} {}", plain(max))));
        }
        if let (Some(Value::Number(min)), Some(Value::Number(max))) = (&range.min, &range.max)
            && min.as_f64() > max.as_f64()
        {
            return Err(invalid(&setting, format!("`min` {min} is more than `max` {max}")));
        }
        if faults.is_empty() {
            return Err(
                invalid(&setting, "the range has no bounds").hint("add `min`, `max` or both")
            );
        }
        self.add("range", column, faults);
        Ok(())
    }

    fn regex(&mut self, column: &str, pattern: &str) -> Result<()> {
        let below = format!("regex/{column}");
        self.text(column, &below)?;
        if let Err(error) = regex::Regex::new(pattern) {
            let fact = format!("`{pattern}` is not a regular expression");
            let said = error.to_string();
            // The parser draws the place over several lines; its last one says what is wrong.
            let said = said.lines().last().unwrap_or_default().trim_start_matches("error: ");
            let hint = match said.contains("look-around") || said.contains("backreferences") {
                true => "look-around and back-references do not exist here",
                false => "brackets come in pairs; a sign that means itself has `\\` before it",
            };
            return Err(invalid(&self.setting(&below), fact).detail(said).hint(hint));
        }
        let failed = expr!("NOT regex_matches({}, {})", Ident(column), Text(pattern))?;
        let reason = format!("does not match `{pattern}`");
        self.add("regex", column, vec![fault(failed, column, &reason)]);
        Ok(())
    }

    fn length(&mut self, column: &str, length: &Length) -> Result<()> {
        let below = format!("length/{column}");
        self.text(column, &below)?;
        let mut faults = Vec::new();
        if let Some(min) = length.min {
            let failed = expr!("character_length({}) < {}", Ident(column), min)?;
            faults.push(fault(failed, column, &format!("is shorter than {}", characters(min))));
        }
        if let Some(max) = length.max {
            let failed = expr!("character_length({}) > {}", Ident(column), max)?;
            faults.push(fault(failed, column, &format!("is longer than {}", characters(max))));
        }
        if faults.is_empty() || length.min.zip(length.max).is_some_and(|(min, max)| min > max) {
            return Err(invalid(&self.setting(&below), "no length fits these bounds")
                .hint("add `min`, `max` or both, the smaller one as `min`"));
        }
        self.add("length", column, faults);
        Ok(())
    }

    fn reference(&mut self, reference: &Reference) -> Result<()> {
        self.known(&reference.column, "references/column")?;
        let key = reference.key.clone().unwrap_or_else(|| reference.column.clone());
        let found = self.free(&format!("reference:{}", self.findings.references.len() + 1));
        let column = reference.column.clone();
        let failed = expr!("{} IS NOT NULL AND {} IS NULL", Ident(&column), Ident(&found))?;
        let reason = format!("is not in `{}` of `{}`", key, reference.table);
        let table = reference.table.clone();
        self.findings.references.push(Lookup { table, key, column: column.clone(), found });
        self.add("references", &column, vec![fault(failed, &column, &reason)]);
        Ok(())
    }

    fn expression(&mut self, text: &str) -> Result<()> {
        let condition = expressions::parse(text, self.input, &[], &self.setting("expression"))?;
        let failed = expr!("NOT ({})", condition)?;
        let shown = stdx::text::truncate(text.trim(), 200);
        let reason = match &self.check.name {
            Some(name) => format!("fails `{name}`"),
            None => format!("fails `{shown}`"),
        };
        let fault = Fault { failed, column: String::new(), value: piece!("NULL"), reason };
        self.add("expression", shown, vec![fault]);
        Ok(())
    }

    /// Checks of all rows together.
    fn whole(&mut self) -> Result<()> {
        let check = self.check;
        let mut tests = Vec::new();
        if let Some(freshness) = &check.freshness {
            let setting = self.setting("freshness/column");
            let column = freshness.column.clone();
            let data_type = self.input.column(&column, &setting)?.data_type();
            if !matches!(data_type, DataType::Date32 | DataType::Timestamp(_, _)) {
                let needs = "freshness looks at dates and timestamps";
                return Err(mismatch(&column, data_type, needs, &setting));
            }
            let label = format!("freshness({column})");
            let age_max = freshness.max_age.0;
            tests.push((label, "freshness", CheckTest::Freshness { column, age_max }));
        }
        if let Some(count) = &check.row_count {
            let (min, max) = (count.min, count.max);
            let none = min.is_none() && max.is_none();
            if none || min.zip(max).is_some_and(|(min, max)| min > max) {
                return Err(invalid(
                    &self.setting("row_count"),
                    "no number of rows fits these bounds",
                )
                .hint("add `min`, `max` or both, the smaller one as `min`"));
            }
            tests.push(("row_count".to_owned(), "row_count", CheckTest::RowCount { min, max }));
        }
        for (label, test, looks_at) in tests {
            let severity = check.severity.unwrap_or(Severity::Fail);
            if severity == Severity::Reject {
                let fact = format!("`{test}` looks at all rows together and cannot reject one");
                return Err(invalid(&self.setting("severity"), fact).hint("use `warn` or `fail`"));
            }
            let label = check.name.clone().unwrap_or(label);
            self.findings.checks.push(Check { label, severity, test: looks_at });
        }
        Ok(())
    }
}

fn fault(failed: Expr, column: &str, reason: &str) -> Fault {
    Fault {
        failed,
        column: column.to_owned(),
        value: Ident(column).to_fragment(),
        reason: reason.to_owned(),
    }
}

fn characters(count: u64) -> String {
    format!("{count} character{}", if count == 1 { "" } else { "s" })
}

/// A bound as a value that compares exactly with the column.
fn bound(value: &Value, column: &str, data_type: &DataType, setting: &str) -> Result<Expr> {
    if is_text(data_type) && value.is_number() {
        return Err(mismatch(column, data_type, "it is compared with a number", setting));
    }
    if value.is_null() {
        return Err(invalid(setting, "a bound cannot be null").hint("leave it out"));
    }
    match (data_type, value) {
        (DataType::Int64 | DataType::Decimal128(_, _), Value::Number(number)) => {
            match decimal_of(&number.to_string()) {
                Some(exact) => literal(value, &wider(data_type, exact), setting),
                None => literal(value, data_type, setting),
            }
        }
        _ => literal(value, data_type, setting),
    }
}

/// Digits before and after the point of a number written out.
fn decimal_of(text: &str) -> Option<(u8, u8)> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, decimals) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let decimals = decimals.trim_end_matches('0');
    let lengths = (u8::try_from(whole.len()).ok()?, u8::try_from(decimals.len()).ok()?);
    (all_digits(whole) && all_digits(decimals)).then_some(lengths)
}

/// The column's type where it holds the number, or else the smallest that holds it.
fn wider(data_type: &DataType, (whole, decimals): (u8, u8)) -> DataType {
    match data_type {
        DataType::Int64 if decimals == 0 && whole <= 18 => DataType::Int64,
        DataType::Decimal128(precision, scale) => {
            let scale_now = scale.unsigned_abs();
            let fits = decimals <= scale_now && whole <= precision.saturating_sub(scale_now);
            match fits {
                true => data_type.clone(),
                false => number_type(
                    whole.max(precision.saturating_sub(scale_now)),
                    decimals.max(scale_now),
                ),
            }
        }
        _ => number_type(whole, decimals),
    }
}

fn number_type(whole: u8, decimals: u8) -> DataType {
    match i8::try_from(decimals) {
        Ok(scale) if whole + decimals <= 38 => {
            DataType::Decimal128((whole + decimals).max(1), scale)
        }
        _ => DataType::Float64,
    }
}

/// A value as people read it in a reason.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// How many allowed values a reason names.
const SHOWN_MAX: usize = 10;

fn shown(allowed: &[Value]) -> String {
    let first: Vec<String> =
        allowed.iter().take(SHOWN_MAX).map(|value| format!("`{}`", plain(value))).collect();
    let rest = allowed.len().saturating_sub(SHOWN_MAX);
    match rest {
        0 => first.join(", "),
        _ => format!("{} and {rest} more", first.join(", ")),
    }
}
