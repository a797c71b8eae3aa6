//! Running averages: windows, warm-up, and the two forms of momentum.
//!
//! A running average over a window of `N` samples moves a fraction `alpha = 1/N` of the way to each
//! new sample, `avg += alpha (x - avg)`; `beta = 1 - 1/N` is what it keeps. All kernels compute it as
//! `avg = fma(alpha, x - avg, avg)` (`avg = x` where `alpha = 1`): a constant input is then a fixed point
//! to the bit, and an average of squares never turns negative.
//!
//! # Sum and average form
//! `y_t = (1 - 1/N) y_{t-1} + x_t` (the momentum buffer of PyTorch's SGD) equals `N mu_t`, where
//! `mu_t = (1 - 1/N) mu_{t-1} + x_t / N` is a running average, provided both start that way
//! (`y_0 = N mu_0`). A step `lr_sum * y` is then the step `lr_average * mu` with
//! `lr_average = N lr_sum`: see [`Window::lr_average`], [`Window::lr_sum`], [`Window::sum_state`] and
//! [`Window::average_state`].

use crate::Error;

/// The length `N >= 1` of a running average, in steps or (before
/// [`at_batch_size`](Self::at_batch_size)) in examples.
///
/// ```
/// use pergrad_core::Window;
/// let w = Window::new(1000.0)?;
/// assert_eq!(w.alpha(), 1e-3);
/// assert_eq!(w.beta(), 0.999);
/// assert_eq!(Window::from_beta(0.875)?.length(), 8.0);
/// # Ok::<(), pergrad_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    alpha: f64,
}

impl Window {
    /// A window of `length` samples; it need not be whole.
    ///
    /// # Errors
    /// [`Error::Hyper`] unless `1 <= length < inf`.
    pub fn new(length: f64) -> Result<Self, Error> {
        if (1.0..f64::INFINITY).contains(&length) {
            Ok(Window { alpha: 1.0 / length })
        } else {
            Err(Error::Hyper { arg: "window", got: length, need: "at least 1 and finite" })
        }
    }

    /// The window of an average that keeps `beta` of itself: `N = 1 / (1 - beta)`. `momentum`,
    /// `rho`, `decay`, PyTorch's `betas` and RMSprop `alpha` are all such a `beta`.
    ///
    /// # Errors
    /// [`Error::Hyper`] unless `0 <= beta < 1`.
    pub fn from_beta(beta: f64) -> Result<Self, Error> {
        if (0.0..1.0).contains(&beta) {
            Ok(Window { alpha: 1.0 - beta })
        } else {
            Err(Error::Hyper { arg: "beta", got: beta, need: "at least 0 and less than 1" })
        }
    }

    /// The window whose new samples weigh `alpha = 1/N`: every window there is, and exactly, which is what
    /// stored ones need.
    ///
    /// # Errors
    /// [`Error::Hyper`] unless `0 < alpha <= 1`.
    ///
    /// ```
    /// use pergrad_core::Window;
    /// let w = Window::from_beta(0.9)?.at_batch_size(7);
    /// assert_eq!(Window::from_alpha(w.alpha()), Ok(w));
    /// assert!(Window::from_alpha(0.0).is_err());
    /// # Ok::<(), pergrad_core::Error>(())
    /// ```
    pub fn from_alpha(alpha: f64) -> Result<Self, Error> {
        if alpha > 0.0 && alpha <= 1.0 {
            Ok(Window { alpha })
        } else {
            Err(Error::Hyper { arg: "alpha", got: alpha, need: "more than 0 and at most 1" })
        }
    }

    /// `N`.
    pub fn length(self) -> f64 {
        1.0 / self.alpha
    }

    /// `1/N`, the weight of a new sample.
    pub fn alpha(self) -> f64 {
        self.alpha
    }

    /// `1 - 1/N`, the weight of the past.
    pub fn beta(self) -> f64 {
        1.0 - self.alpha
    }

    /// The window in steps of `batch` examples, of a window stated in examples: `N / B`, never
    /// under 1.
    ///
    /// ```
    /// use pergrad_core::Window;
    /// let examples = Window::new(2048.0)?;
    /// assert_eq!(examples.at_batch_size(32).length(), 64.0);
    /// assert_eq!(examples.at_batch_size(10_000).length(), 1.0);
    /// # Ok::<(), pergrad_core::Error>(())
    /// ```
    pub fn at_batch_size(self, batch: usize) -> Self {
        let alpha = self.alpha * batch as f64;
        Window { alpha: if alpha < 1.0 { alpha } else { 1.0 } }
    }

    /// `1 - beta^t`, the weight of all samples together after `t` steps from a zero state.
    ///
    /// ```
    /// use pergrad_core::Window;
    /// assert_eq!(Window::new(2.0)?.correction(3), 0.875);
    /// # Ok::<(), pergrad_core::Error>(())
    /// ```
    pub fn correction(self, t: u64) -> f64 {
        let t = t as f64;
        // beta^t <= exp(-alpha t) is less than half of the last digit of 1 then; most steps of a training are these.
        if t * self.alpha >= 38.0 {
            return 1.0;
        }
        // expm1 and log1p keep all digits where alpha * t is small.
        -libm::expm1(t * libm::log1p(-self.alpha))
    }

    /// The learning rate for the average form that makes the steps of `lr_sum` in the sum form.
    ///
    /// ```
    /// use pergrad_core::Window;
    /// let w = Window::from_beta(0.875)?;
    /// assert_eq!(w.lr_average(0.01), 0.08);
    /// assert_eq!(w.lr_sum(0.08), 0.01);
    /// # Ok::<(), pergrad_core::Error>(())
    /// ```
    pub fn lr_average(self, lr_sum: f64) -> f64 {
        lr_sum / self.alpha
    }

    /// The learning rate for the sum form that makes the steps of `lr_average` in the average form.
    pub fn lr_sum(self, lr_average: f64) -> f64 {
        lr_average * self.alpha
    }

    /// The state `y = N mu` of the sum form, from the state of the average form.
    ///
    /// ```
    /// use pergrad_core::Window;
    /// let w = Window::new(10.0)?;
    /// assert_eq!(w.sum_state(0.5), 5.0);
    /// assert_eq!(w.average_state(5.0), 0.5);
    /// # Ok::<(), pergrad_core::Error>(())
    /// ```
    pub fn sum_state(self, average: f64) -> f64 {
        average / self.alpha
    }

    /// The state `mu = y / N` of the average form, from the state of the sum form.
    pub fn average_state(self, sum: f64) -> f64 {
        sum * self.alpha
    }
}

/// What a running average does while it has seen fewer samples than its window is long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum WarmUp {
    /// Nothing: `alpha = 1/N` from the start, biased to the initial state.
    #[default]
    None,
    /// `alpha_t = 1 / min(t, N)`: the exact mean of all samples until the window fills. A constant
    /// input gives that constant, to the bit, from `t = 1`.
    ExactMean,
    /// `alpha = 1/N`, and the average is divided by `1 - beta^t` where it is used (Kingma and Ba,
    /// "Adam", 2015).
    Debias,
}

impl WarmUp {
    /// The weight of the sample of step `t >= 1`.
    ///
    /// ```
    /// use pergrad_core::{WarmUp, Window};
    /// let w = Window::new(4.0)?;
    /// let alphas = [1, 2, 3, 4, 5].map(|t| WarmUp::ExactMean.alpha(w, t));
    /// assert_eq!(alphas, [1.0, 1.0 / 2.0, 1.0 / 3.0, 0.25, 0.25]);
    /// # Ok::<(), pergrad_core::Error>(())
    /// ```
    pub fn alpha(self, window: Window, t: u64) -> f64 {
        match self {
            WarmUp::ExactMean => (1.0 / t as f64).max(window.alpha()),
            WarmUp::None | WarmUp::Debias => window.alpha(),
        }
    }

    /// What the average of step `t` is divided by: `1 - beta^t` for [`WarmUp::Debias`], else 1.
    ///
    /// ```
    /// use pergrad_core::{WarmUp, Window};
    /// let w = Window::new(2.0)?;
    /// assert_eq!(WarmUp::Debias.correction(w, 2), 0.75);
    /// assert_eq!(WarmUp::ExactMean.correction(w, 2), 1.0);
    /// # Ok::<(), pergrad_core::Error>(())
    /// ```
    pub fn correction(self, window: Window, t: u64) -> f64 {
        match self {
            WarmUp::Debias => window.correction(t),
            WarmUp::None | WarmUp::ExactMean => 1.0,
        }
    }
}
