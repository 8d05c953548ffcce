//! Different cuts for different layers, under a budget.

use super::{Cut, LayerSensitivity, SensitivityScan};
use base::units::{bytes, grouped};
use base::{Error, Result};
use display::table::Table;
use display::{MimeBundle, Show, shows_itself};
use nn::Network;
use nn::graph::Model;
use nn::layer_name;
use nn::quant::Quantization;
use notebook::plot::BarPlot;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The cut of a layer.
///
/// ```
/// use kernel_helpers::prelude::*;
/// let cut = LayerCut { layer: "conv1".to_owned(), cut: Cut::Bits(4), bytes: Cut::Bits(4).bytes(216) };
/// assert_eq!(cut.bytes, 108);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerCut {
    /// The layer's name in [`Network::prunable_layers`].
    pub layer: String,
    /// What is done to its weights.
    pub cut: Cut,
    /// The bytes of its weights then.
    pub bytes: usize,
}

/// A cut for each layer.
///
/// ```
/// use kernel_helpers::prelude::*;
///
/// let net = lenet(10)?.build(0, &Device::Cpu)?;
/// let layer = "linear1".to_owned();
/// let mix = Mix { layers: vec![LayerCut { layer, cut: Cut::Bits(4), bytes: 24_000 }], expected_loss: 0.0 };
/// let quantizers = mix.apply(&net)?.quantizers();
/// assert_eq!((quantizers.len(), quantizers[0].0.as_str()), (1, "linear1.weight"));
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mix {
    /// One for each layer.
    pub layers: Vec<LayerCut>,
    /// By how much the loss is to grow, if what the layers cost adds up.
    pub expected_loss: f64,
}

/// What all weights together may take.
///
/// ```
/// use kernel_helpers::prelude::*;
///
/// # let data = Cifar10::striped(64, 32);
/// # let net = Graph::new("small", [3, 32, 32], |x| x.conv(8, 3).relu().global_average_pool().linear(10))?
/// #     .build(0, &Device::Cpu)?;
/// let found = sensitivity_scan(&net, &data, &[Cut::Bits(8), Cut::Bits(4), Cut::Bits(2)], 50)?;
/// let eighth = Budget::BitOperations(net.graph().multiplications() * 4);
/// assert!(found.best_within(eighth)?.bytes() < found.best_within(Budget::Bytes(1_000))?.bytes());
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Budget {
    /// So many bytes in a packed file.
    Bytes(usize),
    /// So many bit operations for one image: a multiplication by a weight of b bits counts b, one by a weight in floating point 32,
    /// one by zero nothing (van Baalen et al., 2020, up to the bits of the activations, which are the same everywhere). It stands
    /// for the time where that grows with the bits; this project's integer kernels take the same for 2 bits as for 8.
    BitOperations(usize),
}

impl From<usize> for Budget {
    /// Bytes.
    fn from(bytes: usize) -> Self {
        Budget::Bytes(bytes)
    }
}

impl Budget {
    fn amount(self) -> usize {
        let (Budget::Bytes(amount) | Budget::BitOperations(amount)) = self;
        amount
    }

    fn unit(self) -> &'static str {
        match self {
            Budget::Bytes(_) => "bytes",
            Budget::BitOperations(_) => "bit operations",
        }
    }

    /// What a cut of a layer takes.
    fn cost(self, cut: Cut, layer: &LayerSensitivity) -> usize {
        match (self, cut) {
            (Budget::Bytes(_), cut) => cut.bytes(layer.weights),
            (Budget::BitOperations(_), Cut::Bits(bits)) => layer.multiplications * bits as usize,
            (Budget::BitOperations(_), Cut::Zeros(share)) => {
                (32.0 * (1.0 - share) * layer.multiplications as f64).round() as usize
            }
        }
    }
}

/// How finely a budget is divided.
const UNITS: usize = 4_000;

impl SensitivityScan {
    /// The cut for each layer with which the loss grows least while all weights fit into a [`Budget`], of bytes if it is a number; as
    /// what the layers cost alone adds up, which is an approximation (Dong et al., 2020). Of these sums it is the smallest: the search
    /// goes through all of them (a knapsack problem, by dynamic programming over the budget).
    ///
    /// ```
    /// use kernel_helpers::prelude::*;
    ///
    /// # let data = Cifar10::striped(64, 32);
    /// # let net = Graph::new("small", [3, 32, 32], |x| x.conv(8, 3).relu().global_average_pool().linear(10))?
    /// #     .build(0, &Device::Cpu)?;
    /// let found = sensitivity_scan(&net, &data, &[Cut::Bits(8), Cut::Bits(4), Cut::Bits(2)], 50)?;
    /// let mix = found.best_within(150)?;
    /// assert!(mix.bytes() <= 150);
    /// assert_eq!(mix.apply(&net)?.quantizers().len(), 2);
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// If the budget is too small for the smallest cuts.
    pub fn best_within(&self, budget: impl Into<Budget>) -> Result<Mix> {
        let budget = budget.into();
        let unit = budget.amount().div_ceil(UNITS).max(1);
        let least = |cost: &dyn Fn(Cut, &LayerSensitivity) -> usize| -> usize {
            let of_layer = |layer| self.cuts.iter().map(|cut| cost(*cut, layer)).min().unwrap_or(0);
            self.layers.iter().map(of_layer).sum()
        };
        if least(&|cut, layer| budget.cost(cut, layer).div_ceil(unit)) > budget.amount() / unit {
            let (least, unit) = (least(&|cut, layer| budget.cost(cut, layer)), budget.unit());
            let expected = format!("at least {least} {unit}, what these cuts need");
            return Err(Error::argument("the budget", expected, budget.amount()));
        }
        let chosen = self.search(budget, unit);
        let cuts = self.layers.iter().zip(&chosen).map(|(layer, choice)| {
            let cut = self.cuts[*choice];
            LayerCut { layer: layer.name.clone(), cut, bytes: cut.bytes(layer.weights) }
        });
        let growth = self.layers.iter().zip(&chosen).map(|(layer, choice)| self.growth(layer, *choice));
        Ok(Mix { layers: cuts.collect(), expected_loss: growth.sum() })
    }

    /// How much the loss grows by a cut of a layer.
    fn growth(&self, layer: &LayerSensitivity, cut: usize) -> f64 {
        layer.losses[cut] - self.whole.loss
    }

    /// The choices with the smallest sum.
    fn search(&self, budget: Budget, unit: usize) -> Vec<usize> {
        let costs_of = |layer| -> Vec<usize> {
            self.cuts.iter().map(|cut| budget.cost(*cut, layer).div_ceil(unit)).collect()
        };
        let budget = budget.amount() / unit;
        // For each budget: the smallest sum of the layers so far, and the choice of each layer that leads there.
        let mut sums = vec![0.0; budget + 1];
        let mut choices: Vec<Vec<usize>> = Vec::new();
        for layer in &self.layers {
            let costs = costs_of(layer);
            let mut next = vec![f64::INFINITY; budget + 1];
            let mut best = vec![0; budget + 1];
            for (cut, cost) in costs.iter().enumerate() {
                for left in *cost..=budget {
                    let sum = sums[left - cost] + self.growth(layer, cut);
                    if sum < next[left] {
                        (next[left], best[left]) = (sum, cut);
                    }
                }
            }
            sums = next;
            choices.push(best);
        }
        let mut left = budget;
        let mut chosen: Vec<usize> = Vec::new();
        for (layer, best) in self.layers.iter().zip(&choices).rev() {
            let choice = best[left];
            left -= costs_of(layer)[choice];
            chosen.push(choice);
        }
        chosen.reverse();
        chosen
    }
}

impl Mix {
    /// The bytes of all weights.
    pub fn bytes(&self) -> usize {
        self.layers.iter().map(|layer| layer.bytes).sum()
    }

    /// A network with these cuts: its weights, in tensors of their own, pruned where the mix prunes, and quantized, now and in
    /// training, where it quantizes.
    ///
    /// # Errors
    /// If the network has no layer of a name.
    pub fn apply(&self, net: &Model) -> Result<Model> {
        let cut_of = |layer: &str| self.layers.iter().find(|cut| cut.layer == layer).map(|cut| cut.cut);
        let own = net.copy()?;
        for (name, weight) in own.prunable_layers() {
            if let Some(zeros @ Cut::Zeros(_)) = cut_of(&name) {
                zeros.apply(&weight)?;
            }
        }
        own.quantized(|layer| match cut_of(layer_name(&format!("{layer}.weight"))) {
            Some(Cut::Bits(bits)) => Quantization::from(Cut::quantizer(bits)),
            _ => Quantization::default(),
        })
    }

    /// The bits for each weight of each layer, those that tell where its zeros are included.
    ///
    /// ```
    /// # use kernel_helpers::prelude::*;
    /// # let layer = "linear1".to_owned();
    /// # let mix = Mix { layers: vec![LayerCut { layer, cut: Cut::Bits(4), bytes: 24_000 }], expected_loss: 0.0 };
    /// let figure = mix.plot().draw()?;
    /// assert!(figure.alt().contains("bits for each weight"), "{}", figure.alt());
    /// # Ok::<(), Error>(())
    /// ```
    pub fn plot(&self) -> BarPlot {
        const MANY: usize = 1_000_000;
        let bits = |layer: &LayerCut| 8.0 * layer.cut.bytes(MANY) as f64 / MANY as f64;
        BarPlot::new(self.layers.iter().map(|layer| &layer.layer))
            .series("bits", &self.layers.iter().map(bits).collect::<Vec<_>>())
            .x_label("bits for each weight")
    }

    fn table(&self) -> Table {
        let rows =
            self.layers.iter().map(|layer| (&layer.layer, layer.cut.to_string(), grouped(layer.bytes)));
        Table::new(["layer", "cut", "bytes"])
            .rows(rows)
            .note(format!("{} of weights in all", bytes(self.bytes())))
    }
}

impl Show for Mix {
    fn forms(&self) -> MimeBundle {
        self.table().forms()
    }
}

shows_itself!(Mix);

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.table().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TestResult;

    #[test]
    fn the_search_finds_the_smallest_sum() {
        let layer = |name: &str, weights, multiplications, losses: [f64; 3]| LayerSensitivity {
            name: name.to_owned(),
            weights,
            multiplications,
            losses: losses.to_vec(),
            accuracies: vec![0.9; 3],
        };
        let found = SensitivityScan {
            cuts: vec![Cut::Bits(8), Cut::Bits(4), Cut::Bits(2)],
            layers: vec![
                layer("a", 100, 300, [1.0, 1.5, 3.0]),
                layer("b", 200, 1_000, [1.0, 1.125, 1.25]),
                layer("c", 50, 200, [1.0, 1.25, 9.0]),
            ],
            whole: TestResult { loss: 1.0, accuracy: 0.9, images: 10, note: None },
        };
        let bytes = [88, 100, 130, 175, 260, 350, 400].map(Budget::Bytes);
        let operations = [3_000, 3_900, 5_000, 8_000].map(Budget::BitOperations);
        for budget in bytes.into_iter().chain(operations) {
            let mut best = f64::INFINITY;
            for choice in (0..27).map(|at| [at % 3, at / 3 % 3, at / 9]) {
                let chosen = || choice.iter().zip(&found.layers);
                let costs = chosen().map(|(cut, layer)| budget.cost(found.cuts[*cut], layer));
                let growth = chosen().map(|(cut, layer)| layer.losses[*cut] - 1.0);
                if costs.sum::<usize>() <= budget.amount() {
                    best = best.min(growth.sum());
                }
            }
            let mix = found.best_within(budget).unwrap();
            assert_eq!(mix.expected_loss, best, "{budget:?}: {mix}");
        }
        let refused = |budget: Budget| found.best_within(budget).unwrap_err().to_string();
        assert!(refused(80.into()).contains("at least 88 bytes"));
        assert!(refused(Budget::BitOperations(2_900)).contains("at least 3000 bit operations"));
    }
}
