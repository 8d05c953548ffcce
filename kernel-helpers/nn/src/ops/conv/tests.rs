//! The convolutions of tensors beside candle's in f64.

use super::*;
use crate::ops::testing::{assert_close, assert_same_gradients, random};
use candle_core::DType;

#[test]
fn conv2d_agrees_with_candle_in_f64_on_every_instruction_set() {
    // [batch, inputs, outputs, height, width, kernel, stride, padding, groups]
    let cases = [
        [2, 3, 16, 32, 32, 3, 1, 1, 1],
        [1, 16, 16, 9, 7, 3, 1, 1, 1],
        [3, 16, 32, 8, 8, 3, 2, 1, 1],
        [2, 32, 64, 7, 5, 3, 2, 1, 1],
        [2, 16, 32, 8, 8, 1, 2, 0, 1],
        [2, 5, 7, 6, 9, 3, 1, 0, 1],
        [2, 17, 33, 5, 5, 3, 2, 0, 1],
        [1, 1, 1, 3, 3, 3, 1, 2, 1],
        [1, 15, 48, 1, 1, 1, 1, 0, 1],
        [35, 4, 4, 4, 4, 3, 1, 1, 1],
        [2, 64, 32, 10, 6, 3, 1, 1, 1],
        [2, 16, 20, 8, 6, 3, 1, 1, 1],
        [2, 20, 32, 6, 4, 3, 1, 1, 1],
        [1, 32, 3, 4, 4, 3, 1, 1, 1],
        [1, 80, 16, 4, 2, 3, 1, 1, 1],
        [1, 32, 48, 4, 4, 3, 1, 0, 1],
        [2, 3, 4, 9, 9, 5, 1, 2, 1],
        [9, 80, 96, 6, 6, 3, 1, 1, 1],
        [2, 20, 20, 7, 7, 3, 1, 1, 20],
        [3, 32, 32, 8, 8, 5, 2, 2, 32],
        [2, 64, 64, 4, 4, 3, 1, 1, 4],
        [2, 6, 9, 5, 5, 3, 2, 1, 3],
    ];
    for isa in Isa::available() {
        for [batch, inputs, outputs, height, width, kernel, stride, padding, groups] in cases {
            let x = random(&[batch, inputs, height, width], 1);
            let weight = random(&[outputs, inputs / groups, kernel, kernel], 2);
            assert_same_gradients(
                &[x, weight],
                |t| conv2d_on(isa, &t[0], &t[1], [stride, padding, groups]),
                |t| Ok(t[0].conv2d(&t[1], padding, stride, 1, groups)?),
            );
        }
    }
}

#[test]
fn conv2d_reads_transposed_tensors() {
    let (x, weight) = (random(&[2, 8, 6, 3], 3), random(&[3, 5, 3, 3], 4));
    let (x, weight) = (x.transpose(1, 3).unwrap(), weight.transpose(0, 1).unwrap());
    let y = conv2d(&x, &weight, 1, 1).unwrap();
    let expected = x.conv2d(&weight.contiguous().unwrap(), 1, 1, 1, 1).unwrap();
    assert_close(&y, &expected);
}

#[test]
fn what_a_stride_leaves_over_has_no_gradient() {
    // Of the rows nothing is left over, of the columns one.
    let (x, weight) = (random(&[2, 3, 9, 10], 7), random(&[4, 3, 5, 5], 8));
    let x = candle_core::Var::from_tensor(&x).unwrap();
    let y = conv2d(&x, &weight, 2, 0).unwrap();
    let gradient = y.sum_all().unwrap().backward().unwrap().get(&x).unwrap().clone();
    assert_eq!(gradient.dims(), x.dims());
    let last = gradient.narrow(3, 9, 1).unwrap().abs().unwrap().sum_all().unwrap();
    assert_eq!(last.to_scalar::<f32>().unwrap(), 0.0);
    let square = x.narrow(3, 0, 9).unwrap();
    let expected = candle_core::Var::from_tensor(&square).unwrap();
    let y = expected.conv2d(&weight, 0, 2, 1, 1).unwrap();
    let expected = y.sum_all().unwrap().backward().unwrap().get(&expected).unwrap().clone();
    assert_close(&gradient.narrow(3, 0, 9).unwrap(), &expected);
}

#[test]
fn conv2d_says_what_does_not_fit() {
    let (x, weight) = (random(&[2, 3, 6, 6], 5), random(&[4, 5, 3, 3], 6));
    assert!(conv2d(&x, &weight, 1, 1).is_err());
    let refused = |x: [usize; 4], weight: [usize; 4], stride, padding| {
        for dtype in [DType::F32, DType::F64] {
            let [x, weight] = [random(&x, 5), random(&weight, 6)].map(|t| t.to_dtype(dtype).unwrap());
            conv2d(&x, &weight, stride, padding).unwrap_err();
        }
    };
    refused([2, 3, 6, 6], [4, 3, 3, 3], 0, 1);
    refused([2, 3, 2, 6], [4, 3, 3, 3], 1, 0);
    refused([2, 3, 6, 2], [4, 3, 5, 5], 1, 1);
    refused([2, 3, 6, 4], [4, 3, 3, 5], 1, 0);
    refused([2, 3, 6, 6], [4, 3, 0, 3], 1, 0);
    refused([2, 3, 6, 6], [4, 3, 3, 3], 1, usize::MAX / 2 + 1);
    let (x, weight) = (random(&[2, 6, 6, 6], 5), random(&[4, 3, 3, 3], 6));
    assert_eq!(grouped_conv2d(&x, &weight, 1, 1, 2).unwrap().dims(), [2, 4, 6, 6]);
    for groups in [0, 1, 3, 4] {
        grouped_conv2d(&x, &weight, 1, 1, groups).unwrap_err();
    }
    let empty = conv2d(&random(&[0, 3, 6, 6], 5), &random(&[4, 3, 3, 3], 6), 1, 1).unwrap();
    assert_eq!(empty.dims(), [0, 4, 6, 6]);
}

#[test]
fn the_operation_itself_refuses_what_its_kernels_do_not_compute() {
    let convolution = Convolution { inputs: 3, outputs: 4, kernel: 3, stride: 1, padding: 1, groups: 1 };
    let refused = |convolution, x: &[usize], weight: &[usize]| {
        let op = Conv2d { convolution, isa: Isa::current().unwrap() };
        random(x, 1).apply_op2(&random(weight, 2), op).unwrap_err();
    };
    refused(convolution, &[2, 3, 6], &[4, 3, 3, 3]);
    refused(convolution, &[2, 4, 6, 6], &[4, 4, 3, 3]);
    refused(convolution, &[2, 3, 6, 6], &[4, 3, 3, 4]);
    refused(convolution, &[0, 3, 6, 6], &[4, 3, 3, 3]);
    refused(Convolution { padding: 0, ..convolution }, &[2, 3, 2, 2], &[4, 3, 3, 3]);
    refused(Convolution { stride: 0, ..convolution }, &[2, 3, 6, 6], &[4, 3, 3, 3]);
    refused(Convolution { padding: 3, ..convolution }, &[2, 3, 6, 6], &[4, 3, 3, 3]);
    refused(Convolution { groups: 2, ..convolution }, &[2, 3, 6, 6], &[4, 3, 3, 3]);
    refused(Convolution { groups: 0, ..convolution }, &[2, 3, 6, 6], &[4, 3, 3, 3]);
    let op = Conv2d { convolution, isa: Isa::current().unwrap() };
    random(&[2, 3, 6, 5], 1).transpose(2, 3).unwrap().apply_op2(&random(&[4, 3, 3, 3], 2), op).unwrap_err();
    let op = Conv2d { convolution, isa: Isa::current().unwrap() };
    let doubles = random(&[2, 3, 6, 6], 1).to_dtype(DType::F64).unwrap();
    doubles.apply_op2(&random(&[4, 3, 3, 3], 2).to_dtype(DType::F64).unwrap(), op).unwrap_err();
}

#[test]
fn conv2d_gives_the_same_bits_on_any_number_of_threads() {
    for [batch, outputs, extent] in [[37, 32, 8], [70, 96, 4]] {
        let (x, weight) = (random(&[batch, 16, extent, extent], 7), random(&[outputs, 16, 3, 3], 8));
        crate::ops::testing::assert_same_bits_on_any_number_of_threads(&[x, weight], |t| {
            conv2d(&t[0], &t[1], 1, 1)
        });
    }
}
