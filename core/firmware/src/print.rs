//! Text to the host, without `core::fmt`, which is large and can panic.

use semihosting::io::Write;

/// Prints to the host's console. (If nobody listens, that is no reason to stop.)
pub fn print(text: &str) {
    print_bytes(text.as_bytes());
}

fn print_bytes(bytes: &[u8]) {
    if let Ok(mut out) = semihosting::io::stdout() {
        let _ = out.write_all(bytes);
    }
}

/// A line that is put together and printed at once. What does not fit is left out.
pub struct Line {
    bytes: [u8; 128],
    len: usize,
}

impl Line {
    pub const fn new() -> Self {
        Line { bytes: [0; 128], len: 0 }
    }

    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    pub fn print(&self) {
        print_bytes(self.as_bytes());
    }

    fn byte(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.len) {
            *place = byte;
            self.len += 1;
        }
    }

    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        for &byte in bytes {
            self.byte(byte);
        }
        self
    }

    pub fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    pub fn hex(&mut self, bytes: &[u8]) -> &mut Self {
        let digit = |n: u8| if n < 10 { b'0' + n } else { b'a' + n - 10 };
        for byte in bytes {
            self.byte(digit(byte >> 4));
            self.byte(digit(byte & 15));
        }
        self
    }

    /// At least `width` places.
    pub fn number(&mut self, n: u32, width: u32) -> &mut Self {
        if n >= 10 || width > 1 {
            if n >= 10 {
                self.number(n / 10, width.saturating_sub(1));
            } else {
                for _ in 1..width {
                    self.byte(b' ');
                }
            }
        }
        self.byte(b'0' + (n % 10) as u8);
        self
    }

    #[cfg(trains)]
    /// `n` over ten to the power of `places`.
    pub fn decimal(&mut self, n: u32, places: u32) -> &mut Self {
        let one = 10u32.saturating_pow(places).max(1);
        self.number(n / one, 1).byte(b'.');
        let mut digit = one / 10;
        while digit > 0 {
            self.byte(b'0' + (n / digit % 10) as u8);
            digit /= 10;
        }
        self
    }
}
