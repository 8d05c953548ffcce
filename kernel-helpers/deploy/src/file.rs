//! A network of integers in a file: safetensors, with the steps as text and each weight in as few bits as it has.
//!
//! | tensor | type | content |
//! |---|---|---|
//! | `steps` | u8 | JSON: values with their scales, and the steps |
//! | `N.codes` | u8 | of step N's weight: the places of its integers in the list of those that occur, lowest bits first |
//! | `N.mask` | u8 | if zeros are left out of the codes: a bit for each integer, 1 where it is not zero |
//! | `N.scales` | f32 | `[O]` |
//! | `N.bias` | f32 | `[O]` |
//! | `N.scale` | f32 | of a step that scales: `[C]` |

use super::lower::{self, Function, Program, Step, Work};
use super::network::{IntegerNetwork, Scale};
use super::weights::IntegerWeights;
use base::{Error, Result};
use candle_core::{DType, Device, Tensor};
use cpu_kernels::conv::Convolution;
use cpu_kernels::pool::{Pool, Pooling};
use nn::checkpoint::{StateDict, load_state_dict, pack_codes, save_state_dict, unpack_codes};
use nn::graph::Shape;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::Path;

const VERSION: u32 = 1;
/// An image of 4,000 x 4,000 pixels has fewer, and so have all that a large network makes of a small one.
const MOST_NUMBERS: usize = 1 << 26;
const DAMAGED: &str = "The file may be damaged: write it again from the network.";

#[derive(Serialize, Deserialize)]
struct Header {
    version: u32,
    title: String,
    values: Vec<ValueForm>,
    steps: Vec<StepForm>,
    output: usize,
}

#[derive(Serialize, Deserialize)]
struct ValueForm {
    channels: usize,
    size: Option<[usize; 2]>,
    scale: f32,
    zero: u8,
}

#[derive(Serialize, Deserialize)]
struct StepForm {
    name: String,
    work: WorkForm,
    input: usize,
    residual: Option<usize>,
    function: FunctionForm,
    output: usize,
    /// Of a weight: the integers that its codes stand for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    integers: Option<Vec<i8>>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WorkForm {
    Conv { inputs: usize, outputs: usize, kernel: usize, stride: usize, padding: usize, groups: usize },
    Linear,
    MaxPool { kernel: usize, stride: usize, padding: usize },
    AveragePool { kernel: usize, stride: usize, padding: usize },
    GlobalAveragePool,
    Scale,
    Concat(usize),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum FunctionForm {
    Identity,
    Relu,
    Relu6,
}

impl IntegerNetwork {
    /// Writes the network to a file, which needs neither the network that it was made of nor this crate's graph to be used.
    ///
    /// ```
    /// use kernel_helpers::prelude::*;
    ///
    /// # let data = Cifar10::striped(64, 32);
    /// # let net = Graph::new("small", [3, 32, 32], |x| x.conv(8, 3).relu().global_average_pool().linear(10))?
    /// #     .build(0, &Device::Cpu)?;
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("small.integers.safetensors");
    /// let integers = IntegerNetwork::quantize(&net, &data, Calibration::default())?;
    /// integers.save(&path)?;
    /// let images = DataLoader::new(&data.test, 8)?.epoch(0).next().unwrap()?.images;
    /// let logits = |net: &IntegerNetwork| -> Result<Vec<Vec<f32>>> { Ok(net.forward(&images)?.to_vec2()?) };
    /// assert_eq!(logits(&IntegerNetwork::load(&path)?)?, logits(&integers)?);
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let mut tensors = StateDict::new();
        let mut insert = |name: String, tensor: Tensor| tensors.insert(name, tensor);
        let mut steps = Vec::new();
        for (at, step) in self.program.steps.iter().enumerate() {
            let mut integers = None;
            if let Work::Conv(_, weights) | Work::Linear(weights) = &step.work {
                let packed = Packed::of(&weights.values);
                insert(format!("{at}.codes"), Tensor::new(packed.codes, &Device::Cpu)?);
                if let Some(mask) = packed.mask {
                    insert(format!("{at}.mask"), Tensor::new(mask, &Device::Cpu)?);
                }
                insert(format!("{at}.scales"), Tensor::new(&weights.scales[..], &Device::Cpu)?);
                integers = Some(packed.integers);
            }
            if let Work::Scale(scale) = &step.work {
                insert(format!("{at}.scale"), Tensor::new(&scale[..], &Device::Cpu)?);
            }
            insert(format!("{at}.bias"), Tensor::new(&step.bias[..], &Device::Cpu)?);
            steps.push(StepForm::of(step, integers));
        }
        let values = self.values.iter().map(|value| ValueForm {
            channels: value.shape.channels,
            size: value.shape.size,
            scale: value.scale.scale,
            zero: value.scale.zero,
        });
        let (title, values) = (self.title.clone(), values.collect());
        let header = Header { version: VERSION, title, values, steps, output: self.program.output };
        let text = serde_json::to_vec(&header).expect("a header is plain data");
        insert("steps".to_owned(), Tensor::new(text, &Device::Cpu)?);
        save_state_dict(&tensors, path)
    }

    /// Reads what [`Self::save`] has written. Whatever the file says, reading it takes bounded time and memory.
    ///
    /// # Errors
    /// If the file cannot be read, or is not such a file.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let tensors = load_state_dict(path)?;
        let wrong = |expected: String, found: String| Error::File {
            path: path.to_owned(),
            expected,
            found,
            help: DAMAGED.to_owned(),
        };
        let (title, program, scales) = read(&tensors).map_err(|(expected, found)| wrong(expected, found))?;
        Ok(Self::of_program(title, program, scales))
    }
}

/// What was expected, and what was found.
type Wrong = (String, String);

fn read(tensors: &StateDict) -> std::result::Result<(String, Program<IntegerWeights>, Vec<Scale>), Wrong> {
    let text: Vec<u8> = take(tensors, "steps", DType::U8)?;
    let header: Header = serde_json::from_slice(&text)
        .map_err(|e| ("the steps of a network of integers".to_owned(), e.to_string()))?;
    if header.version != VERSION {
        return Err((format!("version {VERSION}"), header.version.to_string()));
    }
    let values: Vec<lower::Value> = header.values.iter().map(ValueForm::value).collect();
    let scales = header.values.iter().map(|value| Scale { scale: value.scale, zero: value.zero }).collect();
    // Room for several images of each is made when they are computed.
    let numbers = values.iter().try_fold(0usize, |sum, value| {
        let pixels = value.shape.size.map_or(Some(1), |[rows, columns]| rows.checked_mul(columns))?;
        sum.checked_add(pixels.checked_mul(value.shape.channels.checked_next_multiple_of(16)?)?)
    });
    if !numbers.is_some_and(|numbers| (1..=MOST_NUMBERS).contains(&numbers)) {
        return Err((format!("values of 1 to {MOST_NUMBERS} numbers in all"), format!("{numbers:?}")));
    }
    if let Some(value) = header.values.iter().find(|value| !(value.scale > 0.0 && value.scale.is_finite())) {
        return Err(("scales above 0".to_owned(), value.scale.to_string()));
    }
    let mut written = BTreeSet::from([0]);
    let mut steps = Vec::new();
    for (at, form) in header.steps.into_iter().enumerate() {
        let read = [Some(form.input), form.residual, form.work.other()];
        if !read.into_iter().flatten().all(|value| written.contains(&value)) || !written.insert(form.output) {
            return Err(("steps that read what is there, and write each value once".to_owned(), form.name));
        }
        let Some(output) = values.get(form.output) else {
            return Err((format!("at most {} values", values.len()), form.output.to_string()));
        };
        form.check_shapes(&values)?;
        let output = output.shape;
        steps.push(form.step(at, tensors, output, &values)?);
    }
    if !written.contains(&header.output) {
        return Err(("an output that is written".to_owned(), format!("value {}", header.output)));
    }
    Ok((header.title, Program { values, steps, output: header.output }, scales))
}

/// The numbers of a tensor.
fn take<T: candle_core::WithDType>(
    tensors: &StateDict,
    name: &str,
    dtype: DType,
) -> std::result::Result<Vec<T>, Wrong> {
    let expected = || format!("a tensor `{name}` of {dtype:?}");
    let tensor = tensors.get(name).ok_or_else(|| (expected(), "none".to_owned()))?;
    tensor.flatten_all().and_then(|flat| flat.to_vec1()).map_err(|e| (expected(), e.to_string()))
}

impl ValueForm {
    fn value(&self) -> lower::Value {
        lower::Value { layer: 0, shape: Shape { channels: self.channels, size: self.size }, scale_of: None }
    }
}

impl WorkForm {
    /// The value that is read beside the input and the residual.
    fn other(&self) -> Option<usize> {
        if let WorkForm::Concat(other) = self { Some(*other) } else { None }
    }

    fn convolution(&self) -> Option<Convolution> {
        let WorkForm::Conv { inputs, outputs, kernel, stride, padding, groups } = *self else { return None };
        Some(Convolution { inputs, outputs, kernel, stride, padding, groups })
    }

    fn pool(&self) -> Option<(Pooling, Pool)> {
        match *self {
            WorkForm::MaxPool { kernel, stride, padding } => {
                Some((Pooling::Max, Pool { kernel, stride, padding }))
            }
            WorkForm::AveragePool { kernel, stride, padding } => {
                Some((Pooling::Average, Pool { kernel, stride, padding }))
            }
            _ => None,
        }
    }
}

impl StepForm {
    fn of(step: &Step<IntegerWeights>, integers: Option<Vec<i8>>) -> Self {
        let work = match &step.work {
            Work::Conv(convolution, _) => {
                let Convolution { inputs, outputs, kernel, stride, padding, groups } = *convolution;
                WorkForm::Conv { inputs, outputs, kernel, stride, padding, groups }
            }
            Work::Linear(_) => WorkForm::Linear,
            Work::Pool(Pooling::Max, Pool { kernel, stride, padding }) => {
                WorkForm::MaxPool { kernel: *kernel, stride: *stride, padding: *padding }
            }
            Work::Pool(Pooling::Average, Pool { kernel, stride, padding }) => {
                WorkForm::AveragePool { kernel: *kernel, stride: *stride, padding: *padding }
            }
            Work::GlobalAveragePool => WorkForm::GlobalAveragePool,
            Work::Scale(_) => WorkForm::Scale,
            Work::Concat(other) => WorkForm::Concat(*other),
        };
        let function = match step.function {
            Function::Identity => FunctionForm::Identity,
            Function::Relu => FunctionForm::Relu,
            Function::Relu6 => FunctionForm::Relu6,
        };
        let (name, input, residual, output) = (step.name.clone(), step.input, step.residual, step.output);
        StepForm { name, work, input, residual, function, output, integers }
    }

    /// Refuses a step whose output is not that of its input.
    fn check_shapes(&self, values: &[lower::Value]) -> std::result::Result<(), Wrong> {
        let (input, output) = (values[self.input].shape, values[self.output].shape);
        let pixels = |size: Option<[usize; 2]>| size.unwrap_or([1, 1]);
        let size = pixels(input.size);
        let expected = match &self.work {
            work @ WorkForm::Conv { .. } => work
                .convolution()
                .filter(|convolution| convolution.is_supported() && convolution.inputs == input.channels)
                .and_then(|convolution| Some((convolution.outputs, convolution.output_size(size)?))),
            WorkForm::Linear => Some((output.channels, [1, 1])),
            work @ (WorkForm::MaxPool { .. } | WorkForm::AveragePool { .. }) => {
                work.pool().and_then(|(_, pool)| Some((input.channels, pool.output_size(size)?)))
            }
            WorkForm::GlobalAveragePool => Some((input.channels, [1, 1])),
            WorkForm::Scale => Some((input.channels, size)),
            WorkForm::Concat(other) => {
                let other = values[*other].shape;
                (pixels(other.size) == size).then_some((input.channels + other.channels, size))
            }
        };
        let fits = expected == Some((output.channels, pixels(output.size)))
            && self.residual.is_none_or(|residual| values[residual].shape == output);
        match fits {
            true => Ok(()),
            false => Err((
                format!("`{}` with an output of its input's shape", self.name),
                format!("{input} to {output}"),
            )),
        }
    }

    fn step(
        self,
        at: usize,
        tensors: &StateDict,
        output: Shape,
        values: &[lower::Value],
    ) -> std::result::Result<Step<IntegerWeights>, Wrong> {
        let floats = |part: &str| -> std::result::Result<Vec<f32>, Wrong> {
            let name = format!("{at}.{part}");
            let numbers: Vec<f32> = take(tensors, &name, DType::F32)?;
            match numbers.len() == output.channels && numbers.iter().all(|number| number.is_finite()) {
                true => Ok(numbers),
                false => Err((
                    format!("{} finite numbers in `{name}`", output.channels),
                    numbers.len().to_string(),
                )),
            }
        };
        let weights = |count: Option<usize>| -> std::result::Result<IntegerWeights, Wrong> {
            let count =
                count.ok_or_else(|| ("a weight that fits into memory".to_owned(), self.name.clone()))?;
            let integers = self.integers.clone().unwrap_or_default();
            let codes = take(tensors, &format!("{at}.codes"), DType::U8)?;
            let name = format!("{at}.mask");
            let mask =
                if tensors.contains_key(&name) { Some(take(tensors, &name, DType::U8)?) } else { None };
            let values = Packed { integers, codes, mask }.unpack(count);
            let values =
                values.ok_or_else(|| (format!("{count} weights in `{at}.codes`"), "others".to_owned()))?;
            Ok(IntegerWeights::with_scales(values, floats("scales")?))
        };
        let work = match &self.work {
            form @ WorkForm::Conv { .. } => {
                let convolution =
                    form.convolution().ok_or_else(|| ("a convolution".to_owned(), self.name.clone()))?;
                let of_output = convolution.inputs / convolution.groups;
                let of_output =
                    convolution.kernel.checked_pow(2).and_then(|area| area.checked_mul(of_output));
                let count = of_output.and_then(|of_output| of_output.checked_mul(convolution.outputs));
                Work::Conv(convolution, weights(count)?)
            }
            WorkForm::Linear => {
                Work::Linear(weights(values[self.input].shape.values().checked_mul(output.channels))?)
            }
            form @ (WorkForm::MaxPool { .. } | WorkForm::AveragePool { .. }) => {
                let (kind, pool) = form.pool().ok_or_else(|| ("pooling".to_owned(), self.name.clone()))?;
                Work::Pool(kind, pool)
            }
            WorkForm::GlobalAveragePool => Work::GlobalAveragePool,
            WorkForm::Scale => Work::Scale(floats("scale")?),
            WorkForm::Concat(other) => Work::Concat(*other),
        };
        let function = match self.function {
            FunctionForm::Identity => Function::Identity,
            FunctionForm::Relu => Function::Relu,
            FunctionForm::Relu6 => Function::Relu6,
        };
        let (bias, residual) = (floats("bias")?, self.residual);
        Ok(Step {
            name: self.name.clone(),
            work,
            input: self.input,
            bias,
            residual,
            function,
            output: self.output,
        })
    }
}

/// Integers in few bits.
struct Packed {
    /// Those that occur, without zero if there is a mask.
    integers: Vec<i8>,
    codes: Vec<u8>,
    mask: Option<Vec<u8>>,
}

impl Packed {
    /// In the form that takes less space.
    fn of(values: &[i8]) -> Self {
        let all: BTreeSet<i8> = values.iter().copied().collect();
        let others: BTreeSet<i8> = all.iter().copied().filter(|value| *value != 0).collect();
        let kept = values.iter().filter(|value| **value != 0).count();
        let masked = values.len() + kept * width(others.len()) as usize;
        let (integers, mask) = match masked < values.len() * width(all.len()) as usize {
            true => (others, Some(pack_codes(values.iter().map(|value| u16::from(*value != 0)), 1))),
            false => (all, None),
        };
        let integers: Vec<i8> = integers.into_iter().collect();
        let coded = values.iter().filter(|value| mask.is_none() || **value != 0);
        let codes = coded.map(|value| integers.partition_point(|other| other < value) as u16);
        let codes = pack_codes(codes, width(integers.len()));
        Packed { integers, codes, mask }
    }

    /// So many integers; `None` if there are not as many, or a code stands for none.
    fn unpack(&self, count: usize) -> Option<Vec<i8>> {
        if self.integers.len() > 256 || self.mask.as_ref().is_some_and(|mask| mask.len() != count.div_ceil(8))
        {
            return None;
        }
        // Each integer has a bit of its own at least, so no more memory is asked for than the file's length allows.
        let available = if let Some(mask) = &self.mask { mask.len() } else { self.codes.len() };
        if count.div_ceil(8) > available {
            return None;
        }
        let mut codes = unpack_codes(&self.codes, width(self.integers.len()));
        let mut next = || self.integers.get(usize::from(codes.next()?)).copied();
        match &self.mask {
            None => (0..count).map(|_| next()).collect(),
            Some(mask) => {
                unpack_codes(mask, 1).take(count).map(|bit| if bit == 1 { next() } else { Some(0) }).collect()
            }
        }
    }
}

/// The bits of a code among so many.
fn width(integers: usize) -> u32 {
    integers.saturating_sub(1).checked_ilog2().map_or(1, |log| log + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_packed_into_their_bits() {
        for (values, bytes) in [
            (vec![1i8, -2, 0, 1, 1, -2, 0, 1], 2),
            (vec![1, -1, -1, 1, 1, 1, -1, -1], 1),
            ((-60..60).collect(), 105),
            ([vec![0; 72], vec![5, -9, 7, 100]].concat(), 11),
            (vec![0; 16], 2),
        ] {
            let packed = Packed::of(&values);
            let found = packed.codes.len() + packed.mask.as_ref().map_or(0, Vec::len);
            assert_eq!(found, bytes, "{values:?}");
            assert_eq!(packed.unpack(values.len()), Some(values.clone()));
            assert_eq!(packed.unpack(values.len() + 100), None);
        }
    }
}
