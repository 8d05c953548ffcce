//! The operations at shapes that nobody chose, beside plain loops and candle's operators in f64: values, gradients, and
//! the same bits on one thread and on two, on every instruction set.
//!
//! `BOLERO_RANDOM_TEST_TIME_MS` sets how long each test searches. What one finds it names with the `BOLERO_RANDOM_SEED`
//! that repeats it.

use super::conv::conv2d_on;
use super::testing::{differentiate_along, random, to_f64};
use super::{add_relu, batch_norm_eval, batch_norm_train, global_average_pool, relu};
use base::Result;
use bolero::{ValueGenerator, check, one_of, one_value_of};
use candle_core::{DType, Tensor};
use cpu_kernels::Isa;
use cpu_kernels::conv::Convolution;
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::sync::LazyLock;
use std::time::Duration;

/// How long each test searches, unless the environment says otherwise.
const TIME: Duration = Duration::from_secs(2);

/// Multiplications of the largest convolution: so few that there are many cases.
const PRODUCTS_MAX: usize = 1 << 20;

/// Half of them such as the network has, for which there are faster kernels.
fn channels() -> impl ValueGenerator<Output = usize> {
    one_of((1..=70usize, one_value_of([16usize, 32, 48, 64])))
}

/// Groups of channels; half of the convolutions have one.
fn groups() -> impl ValueGenerator<Output = usize> {
    one_of((one_value_of([1usize]), one_value_of([2usize, 3, 4, 16, 37])))
}

/// Rows or columns; half of them few and even, which the faster kernels want and of which there can be many channels.
fn extent() -> impl ValueGenerator<Output = usize> {
    one_of((1..=40usize, one_value_of([2usize, 4, 6, 8])))
}

/// The values of a function's result, and of the gradients by its arguments.
type Results = Vec<Vec<f64>>;
type Function<'a> = &'a (dyn Fn(&[Tensor]) -> Result<Tensor> + Sync);

/// What the gradients' sums are weighted with.
fn projection(shape: &[usize]) -> Tensor {
    random(shape, 99)
}

fn differentiate(arguments: &[Tensor], dtype: DType, function: Function) -> Results {
    let (value, gradients) = differentiate_along(arguments, dtype, &function, projection);
    [vec![value], gradients].concat().iter().map(to_f64).collect()
}

/// A convolution and its gradients by their definition. Candle's own gradient fails for images that are not square.
fn plain_convolution(convolution: Convolution, x: &Tensor, weight: &Tensor, projection: &Tensor) -> Results {
    let [x_values, weight, projection] = [x, weight, projection].map(to_f64);
    let (batch, size) = (x.dims()[0], [x.dims()[2], x.dims()[3]]);
    let images = x_values.chunks(x_values.len() / batch);
    let mut results = vec![vec![], vec![], vec![0.0; weight.len()]];
    for (image, projection) in images.zip(projection.chunks(projection.len() / batch)) {
        let plain = convolution.plain(size, image, &weight, projection);
        results[0].extend(plain.output);
        results[1].extend(plain.input_gradient);
        results[2].iter_mut().zip(plain.weight_gradient).for_each(|(sum, value)| *sum += value);
    }
    results
}

/// One thread, and two.
static POOLS: LazyLock<[ThreadPool; 2]> =
    LazyLock::new(|| [1, 2].map(|threads| ThreadPoolBuilder::new().num_threads(threads).build().unwrap()));

/// Asserts that `ours` in f32 differs from `expected` by less than f32's rounding of sums of these magnitudes, and
/// gives the same bits on any pool.
#[track_caller]
fn assert_agrees(arguments: &[Tensor], ours: Function, expected: &Results, magnitudes: &[f64]) {
    let found = POOLS.iter().map(|pool| pool.install(|| differentiate(arguments, DType::F32, ours)));
    let found: Vec<Results> = found.collect();
    assert!(found[0] == found[1], "two threads give other bits than one");
    for (at, ((found, expected), magnitude)) in found[0].iter().zip(expected).zip(magnitudes).enumerate() {
        let what = if at == 0 { "the value".to_owned() } else { format!("the gradient by argument {at}") };
        assert_eq!(found.len(), expected.len(), "{what}");
        for (place, (found, expected)) in found.iter().zip(expected).enumerate() {
            let difference = (found - expected).abs();
            assert!(
                difference <= 2e-6 * magnitude,
                "{what} at {place}: found {found}, expected {expected}, summed magnitudes {magnitude}"
            );
        }
    }
}

#[test]
fn convolutions_of_any_shape_agree_with_plain_loops() {
    check!()
        .with_generator((
            (1..=5usize, channels(), channels(), groups()),
            (extent(), extent()),
            (one_value_of([1usize, 3, 3, 3, 5, 7]), 1..=3usize, 0..=3usize),
        ))
        .filter(|((batch, inputs, outputs, groups), (rows, columns), (kernel, _, _))| {
            batch * inputs * outputs * groups * rows * columns * kernel * kernel <= PRODUCTS_MAX
        })
        .with_test_time(TIME)
        .for_each(|&((batch, inputs, outputs, groups), (rows, columns), (kernel, stride, padding))| {
            // Of the channels that were drawn, each group has so many, or one where the groups are many.
            let share = |channels: usize| if groups > 4 { 1 } else { channels };
            let (inputs, outputs) = (share(inputs) * groups, share(outputs) * groups);
            let x = random(&[batch, inputs, rows, columns], 1);
            let weight = random(&[outputs, inputs / groups, kernel, kernel], 2);
            if rows.min(columns) + 2 * padding < kernel {
                conv2d_on(Isa::available()[0], &x, &weight, [stride, padding, groups]).unwrap_err();
                return;
            }
            let convolution = Convolution { inputs, outputs, kernel, stride, padding, groups };
            let [output_rows, output_columns] = convolution.output_size([rows, columns]).unwrap();
            let projection = projection(&[batch, outputs, output_rows, output_columns]);
            let expected = plain_convolution(convolution, &x, &weight, &projection);
            // What rounding errors are relative to: the largest sum of magnitudes.
            let [x_size, weight_size, projection] = [&x, &weight, &projection].map(|t| t.abs().unwrap());
            let summed = plain_convolution(convolution, &x_size, &weight_size, &projection);
            let magnitudes: Vec<f64> =
                summed.into_iter().map(|sums| sums.into_iter().fold(0.0, f64::max)).collect();
            let arguments = [x, weight];
            for isa in Isa::available() {
                let ours = |t: &[Tensor]| conv2d_on(isa, &t[0], &t[1], [stride, padding, groups]);
                assert_agrees(&arguments, &ours, &expected, &magnitudes);
            }
        });
}

#[test]
fn batch_norms_of_any_shape_agree_with_candle_in_f64() {
    check!()
        .with_generator((1..=5usize, 1..=70usize, 1..=20usize, 1..=20usize))
        .with_test_time(TIME)
        .for_each(|&(batch, channels, rows, columns)| {
            let parameter = |seed| random(&[channels], seed);
            let arguments = [random(&[batch, channels, rows, columns], 1), parameter(2), parameter(3)];
            // A channel's values can be so close together that they are divided by the root of what is added to the
            // variance alone; the sums over a channel have so many terms.
            let (count, inverse) = ((batch * rows * columns) as f64, 1e-5f64.sqrt().recip());
            let magnitudes = [inverse, inverse, count * inverse, count];
            let train = |t: &[Tensor]| Ok(batch_norm_train(&t[0], &t[1], &t[2], 1e-5)?.0);
            let expected = differentiate(&arguments, DType::F64, &train);
            assert_agrees(&arguments, &train, &expected, &magnitudes);
            let (mean, variance) = (parameter(4), parameter(5).sqr().unwrap());
            let eval = |t: &[Tensor]| {
                let (mean, variance) = (mean.to_dtype(t[0].dtype())?, variance.to_dtype(t[0].dtype())?);
                batch_norm_eval(&t[0], &mean, &variance, &t[1], &t[2], 1e-5)
            };
            let expected = differentiate(&arguments, DType::F64, &eval);
            assert_agrees(&arguments, &eval, &expected, &magnitudes);
        });
}

#[test]
fn activations_and_pools_of_any_shape_agree_with_candle_in_f64() {
    check!()
        .with_generator((1..=5usize, 1..=70usize, 1..=40usize, 1..=40usize))
        .with_test_time(TIME)
        .for_each(|&(batch, channels, rows, columns)| {
            let arguments = [1, 2].map(|seed| random(&[batch, channels, rows, columns], seed));
            let agrees = |arguments: &[Tensor], function: Function| {
                let expected = differentiate(arguments, DType::F64, function);
                assert_agrees(arguments, function, &expected, &[1.0; 3]);
            };
            agrees(&arguments[..1], &|t| relu(&t[0]));
            agrees(&arguments, &|t| add_relu(&t[0], &t[1]));
            agrees(&arguments[..1], &|t| global_average_pool(&t[0]));
        });
}
