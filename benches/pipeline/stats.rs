//! Quantiles and ratios.

/// Values of one measurement.
#[derive(Debug, Clone, Default)]
pub(crate) struct Values(Vec<f64>);

impl Values {
    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// The smallest value that at least `per_mille` of the values do not exceed (nearest rank).
    pub(crate) fn quantile(&self, per_mille: usize) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let rank = (per_mille * sorted.len()).div_ceil(1000).max(1);
        sorted.get(rank - 1).copied().unwrap_or(f64::NAN)
    }

    pub(crate) fn median(&self) -> f64 {
        self.quantile(500)
    }

    pub(crate) fn min(&self) -> f64 {
        self.quantile(0)
    }

    pub(crate) fn max(&self) -> f64 {
        self.quantile(1000)
    }

    /// What `other` is compared with: the values of the same rounds, or the median for one that has other rounds.
    pub(crate) fn beside(&self, other: &Self) -> Self {
        if self.0.len() == other.0.len() {
            return self.clone();
        }
        Self(vec![self.median(); other.0.len()])
    }

    /// Round by round, how many times `base` this is.
    pub(crate) fn over(&self, base: &Self) -> Self {
        Self(self.0.iter().zip(&base.0).map(|(value, base)| value / base).collect())
    }

    /// `median [smallest-largest]`
    pub(crate) fn spread(&self, decimals: usize) -> String {
        let (median, min, max) = (self.median(), self.min(), self.max());
        format!("{median:.decimals$} [{min:.decimals$}-{max:.decimals$}]")
    }
}
