//! The `config` of a case: whoever maps it takes the keys that it understands, and none may be left.

use serde_json::Value;

use super::file::Object;

/// The keys not yet understood.
#[derive(Debug)]
pub struct Settings {
    left: Object,
}

impl Settings {
    /// All of a `config`.
    pub fn new(config: &Object) -> Self {
        Settings { left: config.clone() }
    }

    /// Whether the key is there.
    pub fn has(&self, key: &str) -> bool {
        self.left.contains_key(key)
    }

    fn take<V>(
        &mut self,
        key: &str,
        need: &str,
        read: impl FnOnce(&Value) -> Option<V>,
    ) -> Result<Option<V>, String> {
        let Some(value) = self.left.remove(key) else { return Ok(None) };
        match read(&value) {
            Some(read) => Ok(Some(read)),
            None => Err(format!("config key `{key}` is {value}, it must be {need}")),
        }
    }

    /// A number, or the library's default.
    pub fn number(&mut self, key: &str, default: f64) -> Result<f64, String> {
        Ok(self.take(key, "a number", Value::as_f64)?.unwrap_or(default))
    }

    /// A number that has no default.
    pub fn required(&mut self, key: &str) -> Result<f64, String> {
        self.take(key, "a number", Value::as_f64)?
            .ok_or_else(|| format!("config key `{key}` is missing"))
    }

    /// A number or null, where the library's default is `None`.
    pub fn optional(&mut self, key: &str) -> Result<Option<f64>, String> {
        let read = |v: &Value| if v.is_null() { Some(None) } else { v.as_f64().map(Some) };
        Ok(self.take(key, "a number or null", read)?.flatten())
    }

    /// Two numbers.
    pub fn pair(&mut self, key: &str, default: [f64; 2]) -> Result<[f64; 2], String> {
        let read = |v: &Value| match v.as_array()?.as_slice() {
            [a, b] => Some([a.as_f64()?, b.as_f64()?]),
            _ => None,
        };
        Ok(self.take(key, "two numbers", read)?.unwrap_or(default))
    }

    /// A truth value, or the library's default.
    pub fn flag(&mut self, key: &str, default: bool) -> Result<bool, String> {
        Ok(self.take(key, "true or false", Value::as_bool)?.unwrap_or(default))
    }

    /// Keys that choose an implementation and not the arithmetic.
    pub fn implementation(&mut self, keys: &[&str]) -> Result<(), String> {
        for key in keys {
            let fits = |v: &Value| (v.is_null() || v.is_boolean()).then_some(());
            self.take(key, "true, false or null: it chooses an implementation", fits)?;
        }
        Ok(())
    }

    /// Keys of what pergrad does not do, which must be off.
    pub fn off(&mut self, keys: &[&str]) -> Result<(), String> {
        for key in keys {
            let fits = |v: &Value| (v.is_null() || *v == Value::Bool(false)).then_some(());
            self.take(key, "null or false: nothing else can be followed", fits)?;
        }
        Ok(())
    }

    /// Keys without effect, whatever they hold.
    pub fn ignore(&mut self, keys: &[&str]) {
        for key in keys {
            self.left.remove(*key);
        }
    }

    /// Fails if a key is left.
    pub fn finish(self) -> Result<(), String> {
        match self.left.iter().next() {
            None => Ok(()),
            Some((key, value)) => Err(format!("config key `{key}` (= {value}) is unknown")),
        }
    }
}

/// What a mapping says to an algorithm that it does not know.
pub fn unknown<V>(algorithm: &str) -> Result<V, String> {
    Err(format!("algorithm `{algorithm}` is unknown"))
}

/// A refusal of the library's, as text.
pub fn refused(error: pergrad_core::Error) -> String {
    format!("config refused: {error}")
}
