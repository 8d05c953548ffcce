//! What the operations' tests share: seeded tensors, and comparisons with f64.

use base::Result;
use candle_core::{DType, Device, Tensor, Var};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Values between -1 and 1, f32, fixed by the seed.
pub fn random(shape: &[usize], seed: u64) -> Tensor {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.random_range(-1.0..1.0)).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

pub fn to_f64(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// Asserts equal shapes, and values equal to f32's precision relative to the largest.
#[track_caller]
pub fn assert_close(found: &Tensor, expected: &Tensor) {
    assert_eq!(found.dims(), expected.dims());
    let (found, expected) = (to_f64(found), to_f64(expected));
    let largest = expected.iter().fold(1e-3f64, |largest, value| largest.max(value.abs()));
    for (at, (found, expected)) in found.iter().zip(&expected).enumerate() {
        let difference = (found - expected).abs();
        assert!(difference <= 2e-5 * largest, "value {at}: found {found}, expected {expected}");
    }
}

type Function<'a> = &'a dyn Fn(&[Tensor]) -> Result<Tensor>;

/// The function's value and the gradients of `Σ value · projection` by each argument.
fn differentiate(arguments: &[Tensor], dtype: DType, function: Function) -> (Tensor, Vec<Tensor>) {
    differentiate_along(arguments, dtype, function, |shape| random(shape, 99))
}

/// The same for a projection of the value's shape.
pub fn differentiate_along(
    arguments: &[Tensor],
    dtype: DType,
    function: Function,
    projection: impl Fn(&[usize]) -> Tensor,
) -> (Tensor, Vec<Tensor>) {
    let cast = |tensor: &Tensor| tensor.to_dtype(dtype).unwrap();
    let variables: Vec<Var> = arguments.iter().map(|t| Var::from_tensor(&cast(t)).unwrap()).collect();
    let tensors: Vec<Tensor> = variables.iter().map(|v| v.as_tensor().clone()).collect();
    let value = function(&tensors).unwrap();
    let projection = cast(&projection(value.dims()));
    let gradients = (&value * projection).unwrap().sum_all().unwrap().backward().unwrap();
    let gradients = variables.iter().map(|v| gradients.get(v).expect("a gradient").clone()).collect();
    (value, gradients)
}

/// Asserts that `ours` in f32 has the value and the gradients of `reference` in f64, and that the reference's gradients
/// are its finite differences.
#[track_caller]
pub fn assert_same_gradients(
    arguments: &[Tensor],
    ours: impl Fn(&[Tensor]) -> Result<Tensor>,
    reference: impl Fn(&[Tensor]) -> Result<Tensor>,
) {
    let (value, gradients) = differentiate(arguments, DType::F32, &ours);
    let (expected_value, expected_gradients) = differentiate(arguments, DType::F64, &reference);
    assert_close(&value, &expected_value);
    for (at, (gradient, expected)) in gradients.iter().zip(&expected_gradients).enumerate() {
        assert_close(gradient, expected);
        assert_finite_difference(arguments, at, expected, &reference);
    }
}

/// Asserts that a small step of argument `at` in a random direction changes `Σ value · projection` as its gradient
/// says.
#[track_caller]
fn assert_finite_difference(arguments: &[Tensor], at: usize, gradient: &Tensor, function: Function) {
    let step = 1e-6;
    let direction = random(arguments[at].dims(), 98).to_dtype(DType::F64).unwrap();
    let projected = |sign: f64| {
        let mut moved: Vec<_> = arguments.iter().map(|t| t.to_dtype(DType::F64).unwrap()).collect();
        moved[at] = (&moved[at] + (&direction * (sign * step)).unwrap()).unwrap();
        let value = function(&moved).unwrap();
        let projection = random(value.dims(), 99).to_dtype(DType::F64).unwrap();
        (value * projection).unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap()
    };
    let slope = (projected(1.0) - projected(-1.0)) / (2.0 * step);
    let products = to_f64(&(gradient * &direction).unwrap());
    let expected: f64 = products.iter().sum();
    let scale: f64 = products.iter().map(|p| p.abs()).sum::<f64>().max(1e-3);
    assert!(
        (slope - expected).abs() <= 1e-4 * scale,
        "argument {at}: slope {slope}, gradient gives {expected}"
    );
}

/// Asserts that 1, 2 and 16 threads give the same bits, in the value and in every gradient.
#[track_caller]
pub fn assert_same_bits_on_any_number_of_threads(
    arguments: &[Tensor],
    function: impl Fn(&[Tensor]) -> Result<Tensor> + Sync,
) {
    let bits = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let (value, gradients) = pool.install(|| differentiate(arguments, DType::F32, &function));
        gradients.iter().chain([&value]).map(to_f64).collect::<Vec<_>>()
    };
    let one = bits(1);
    for threads in [2, 16] {
        assert!(bits(threads) == one, "{threads} threads give other bits than one");
    }
}
