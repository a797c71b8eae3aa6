//! The folder of recordings, its files and their cases.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::support::values::Real;

/// Names another folder, with files of the same form and names.
pub const DIR: &str = "PERGRAD_GOLDEN_DIR";

/// A JSON object.
pub type Object = Map<String, Value>;

/// The folder that [`DIR`] names, else the one beside these tests.
pub fn folder() -> PathBuf {
    std::env::var_os(DIR).map_or_else(built_in, PathBuf::from)
}

/// The folder beside these tests.
pub fn built_in() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// The cases of a file.
pub fn cases(folder: &Path, file: &str) -> Result<Vec<Object>, String> {
    let path = folder.join(file);
    let wrong = |what: &dyn std::fmt::Display| format!("{}: {what}", path.display());
    let text = std::fs::read_to_string(&path).map_err(|e| wrong(&e))?;
    parse(&text).map_err(|e| wrong(&e))
}

/// The cases in the text of a file; there must be one.
pub fn parse(text: &str) -> Result<Vec<Object>, String> {
    let mut whole: Object = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let Some(Value::Array(cases)) = whole.remove("cases") else {
        return Err("`cases` is not a list".into());
    };
    if cases.is_empty() {
        return Err("`cases` is empty".into());
    }
    let object = |(k, case)| match case {
        Value::Object(case) => Ok(case),
        other => Err(format!("case {k} is {other}, not an object")),
    };
    cases.into_iter().enumerate().map(object).collect()
}

/// A list of numbers that all are values of `T`.
pub fn numbers<T: Real>(what: &str, value: Option<&Value>) -> Result<Vec<T>, String> {
    let list = list(what, value)?;
    let number = |(k, v): (usize, &Value)| match v.as_f64() {
        Some(v) if T::from_f64(v).to_f64() == v => Ok(T::from_f64(v)),
        _ => Err(format!("`{what}[{k}]` is {v}, not a finite {}", T::NAME)),
    };
    list.iter().enumerate().map(number).collect()
}

/// A list.
pub fn list<'a>(what: &str, value: Option<&'a Value>) -> Result<&'a [Value], String> {
    value
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .ok_or_else(|| format!("`{what}` is not a list"))
}

/// A string.
pub fn string<'a>(case: &'a Object, key: &str) -> Result<&'a str, String> {
    case.get(key).and_then(Value::as_str).ok_or_else(|| format!("`{key}` is not a string"))
}

/// Checks every case by its `dtype`, and panics with what all those say that fail. Prints the largest
/// error of each, as a part of what is tolerated.
#[track_caller]
pub fn check_all(
    folder: &Path,
    file: &str,
    single: impl Fn(&Object) -> Result<f64, String>,
    double: impl Fn(&Object) -> Result<f64, String>,
) {
    let cases = cases(folder, file).unwrap_or_else(|e| panic!("{e}"));
    let check = |(k, case): (usize, &Object)| {
        let result = match string(case, "dtype") {
            Ok("float32") => single(case),
            Ok("float64") => double(case),
            Ok(other) => Err(format!("`dtype` is {other}, neither float32 nor float64")),
            Err(e) => Err(e),
        };
        let place = format!("{file}, case {k} ({})", describe(case));
        match result {
            Ok(worst) => {
                println!("{worst:.3} {place}");
                None
            }
            Err(e) => Some(format!("{place}: {e}")),
        }
    };
    let failures: Vec<String> = cases.iter().enumerate().filter_map(check).collect();
    let (bad, all) = (failures.len(), cases.len());
    assert!(failures.is_empty(), "{bad} of {all} cases fail\n{}", failures.join("\n"));
}

/// Those fields of a case that are short.
fn describe(case: &Object) -> String {
    let short = ["algorithm", "config", "dtype", "batch", "outputs", "inputs"];
    let fields = short.iter().filter_map(|&key| Some((key, case.get(key)?)));
    let fields: Vec<String> = fields.map(|(key, value)| format!("{key} {value}")).collect();
    fields.join(", ")
}
