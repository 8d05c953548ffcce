//! Networks from the literature, each described by one function.

mod lenet;
mod mobilenet;
mod resnet;
mod vgg;

pub use lenet::{lenet, mlp};
pub use mobilenet::mobilenet;
pub use resnet::{ResNetConfig, resnet_cifar, wide_resnet};
pub use vgg::vgg;
