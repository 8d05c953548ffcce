//! Arrays of four sums, on any processor.

use super::super::instructions::IntegerKernel;
use super::{IntegerSimd, Requantization};

/// Every processor has this one.
#[derive(Clone, Copy, Debug)]
pub struct Portable;

impl Portable {
    pub fn run<K: IntegerKernel>(self, kernel: K) -> K::Output {
        kernel.run(self)
    }
}

impl IntegerSimd for Portable {
    type Inputs = [u8; 4];
    type Weights = [[i8; 4]; 4];
    type Sums = [i32; 4];
    const LANES: usize = 4;
    const REGISTERS: usize = 16;

    #[inline(always)]
    fn zero(self) -> [i32; 4] {
        [0; 4]
    }
    #[inline(always)]
    unsafe fn inputs(self, from: *const u8) -> [u8; 4] {
        // SAFETY: the caller's promise.
        unsafe { from.cast::<[u8; 4]>().read() }
    }
    #[inline(always)]
    unsafe fn weights(self, from: *const u8) -> [[i8; 4]; 4] {
        // SAFETY: the caller's promise; bytes have no alignment.
        unsafe { from.cast::<[[i8; 4]; 4]>().read() }
    }
    #[inline(always)]
    unsafe fn sums(self, from: *const i32) -> [i32; 4] {
        // SAFETY: the caller's promise.
        unsafe { from.cast::<[i32; 4]>().read() }
    }
    #[inline(always)]
    fn dot(self, mut sums: [i32; 4], inputs: [u8; 4], weights: [[i8; 4]; 4]) -> [i32; 4] {
        for (sum, weights) in sums.iter_mut().zip(weights) {
            for (input, weight) in inputs.iter().zip(weights) {
                *sum += i32::from(*input) * i32::from(weight);
            }
        }
        sums
    }
    #[inline(always)]
    unsafe fn add_values(self, mut sums: [i32; 4], from: *const u8) -> [i32; 4] {
        // SAFETY: the caller's promise.
        let values = unsafe { from.cast::<[u8; 4]>().read() };
        sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += i32::from(value));
        sums
    }
    #[inline(always)]
    unsafe fn add_products(self, mut sums: [i32; 4], inputs: *const u8, weights: *const u8) -> [i32; 4] {
        // SAFETY: the caller's promise.
        let (inputs, weights) =
            unsafe { (inputs.cast::<[u8; 4]>().read(), weights.cast::<[i8; 4]>().read()) };
        for (sum, (input, weight)) in sums.iter_mut().zip(inputs.into_iter().zip(weights)) {
            *sum += i32::from(input) * i32::from(weight);
        }
        sums
    }
    #[inline(always)]
    unsafe fn finish(
        self,
        sums: [i32; 4],
        rule: &Requantization,
        channel: usize,
        residual: Option<*const u8>,
        to: *mut u8,
    ) {
        for (lane, sum) in sums.into_iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe {
                let residual = residual.map(|residual| *residual.add(lane));
                *to.add(lane) = rule.apply(sum, channel + lane, residual);
            }
        }
    }
}
