//! What PyTorch's pickles mean: state dicts, tensors and the storages that they refer to.

use super::budget::Budget;
use super::element::{Element, element_count};
use super::known::{Known, Rebuild};
use super::malformed::{DAMAGED, Malformed, Result, SAVE_STATE_DICT};
use super::pickle::{Object, Pickle, Value};
use super::view::View;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;

/// PyTorch's own limit.
pub(super) const MOST_DIMENSIONS: usize = 64;
/// The longest name of a tensor or a storage, in bytes: a pickle can mention the same text many times.
const LONGEST_NAME: usize = 1024;

/// A storage as a pickle refers to it.
#[derive(Debug, Clone, Copy)]
pub(super) struct StorageReference<'a> {
    pub(super) key: &'a str,
    element: Element,
    /// Elements of the whole storage.
    pub(super) count: usize,
    /// Where a view of it begins, in elements; the legacy form's `view_metadata`.
    start: usize,
}

impl StorageReference<'_> {
    /// Bytes of the whole storage.
    pub(super) fn length(&self) -> u64 {
        (self.count as u64).saturating_mul(self.element.size() as u64)
    }
}

/// A tensor as a pickle describes it.
#[derive(Debug)]
pub(super) struct TensorRecord<'a> {
    pub(super) name: &'a str,
    pub(super) storage: StorageReference<'a>,
    pub(super) element: Element,
    pub(super) view: View,
    /// The bytes of the storage that it needs.
    pub(super) range: Range<u64>,
}

/// Every storage that the pickle refers to, by key.
pub(super) fn storages<'a>(pickle: &Pickle<'a>) -> Result<HashMap<&'a str, StorageReference<'a>>> {
    let mut storages: HashMap<&str, StorageReference<'_>> = HashMap::new();
    for object in &pickle.objects {
        let Object::Persistent(id) = object else { continue };
        let storage = storage(pickle, *id)?;
        let first = storages.entry(storage.key).or_insert(storage);
        if (first.element, first.count) != (storage.element, storage.count) {
            let found = format!("storage `{}` described in two ways", first.key);
            return Err(Malformed::new("one description of each storage", found, DAMAGED));
        }
    }
    Ok(storages)
}

/// The named tensors of a state dict, which is the pickle's root or the only state dict directly inside it.
pub(super) fn state_dict<'a>(pickle: &Pickle<'a>, budget: &mut Budget) -> Result<Vec<TensorRecord<'a>>> {
    let Some(Object::Dict(items)) = pickle.object(pickle.root) else {
        return Err(Malformed::new("a state dict", describe(pickle, pickle.root), SAVE_STATE_DICT));
    };
    let entries = entries(pickle, items)?;
    let own = tensors(pickle, &entries);
    let tensors = if own.is_empty() { nested(pickle, items, &entries)? } else { own };
    tensors.into_iter().map(|(name, value)| tensor(pickle, name, value, budget)).collect()
}

/// The entries whose keys are texts; of equal keys, the last one counts, as in Python.
fn entries<'a>(pickle: &Pickle<'a>, items: &[[Value; 2]]) -> Result<BTreeMap<&'a str, Value>> {
    let named = items.iter().filter_map(|&[key, value]| Some((pickle.text(key)?, value)));
    named.map(|(name, value)| Ok((short(name)?, value))).collect()
}

/// The entries that are tensors; those of another kind, such as an epoch, are no weights.
fn tensors<'a>(pickle: &Pickle<'a>, entries: &BTreeMap<&'a str, Value>) -> Vec<(&'a str, Value)> {
    let is_tensor = |value| matches!(call(pickle, value), Some((Known::Tensor(_), _)));
    entries.iter().filter(|(_, value)| is_tensor(**value)).map(|(name, value)| (*name, *value)).collect()
}

/// The tensors of the only state dict directly inside a dictionary. Each one is looked at once, however often the
/// dictionary mentions it.
fn nested<'a>(
    pickle: &Pickle<'a>,
    items: &[[Value; 2]],
    entries: &BTreeMap<&'a str, Value>,
) -> Result<Vec<(&'a str, Value)>> {
    let (mut seen, mut names, mut only) = (HashSet::new(), Vec::new(), Vec::new());
    for &[key, value] in items {
        let name = pickle.text(key);
        let overwritten = name.is_some_and(|name| entries.get(name) != Some(&value));
        let (Value::Object(index), Some(Object::Dict(items))) = (value, pickle.object(value)) else {
            continue;
        };
        if overwritten || !seen.insert(index) {
            continue;
        }
        let tensors = tensors(pickle, &self::entries(pickle, items)?);
        if !tensors.is_empty() {
            names.push(name.unwrap_or("?"));
            only = tensors;
        }
    }
    match names.len() {
        1 => Ok(only),
        0 => Err(Malformed::new("a state dict with tensors", keys(pickle, items), SAVE_STATE_DICT)),
        count => {
            let found = format!("{count} state dicts: {}", listed(names.into_iter()));
            Err(Malformed::new("one state dict", found, SAVE_STATE_DICT))
        }
    }
}

/// The tensor that a call would rebuild.
fn tensor<'a>(
    pickle: &Pickle<'a>,
    name: &'a str,
    value: Value,
    budget: &mut Budget,
) -> Result<TensorRecord<'a>> {
    let too_few = || bad_tensor("too few arguments");
    let (function, arguments) = match call(pickle, value).ok_or_else(too_few)? {
        (Known::Tensor(Rebuild::Parameter), [data, ..]) => {
            call(pickle, *data).ok_or_else(|| bad_tensor("a parameter without a tensor"))?
        }
        other => other,
    };
    let (id, offset, shape, strides, dtype) = match (function, arguments) {
        (Known::Tensor(Rebuild::TensorV2), &[id, offset, shape, strides, ..]) => {
            (id, offset, shape, strides, None)
        }
        (Known::Tensor(Rebuild::TensorV3), &[id, offset, shape, strides, _, _, dtype, ..]) => {
            (id, offset, shape, strides, Some(dtype))
        }
        _ => return Err(too_few()),
    };
    let Some(Object::Persistent(id)) = pickle.object(id) else {
        return Err(bad_tensor("none"));
    };
    let storage = storage(pickle, *id)?;
    let element = match dtype {
        None => storage.element,
        Some(Value::Global(Known::Type(element))) => element,
        Some(_) => return Err(bad_tensor("an unknown element type")),
    };
    let offset = pickle.count(offset).and_then(|offset| offset.checked_add(storage.start));
    let view = View {
        offset: offset.ok_or_else(|| bad_tensor("no offset"))?,
        shape: counts(pickle, shape).ok_or_else(|| bad_tensor("no shape"))?,
        strides: counts(pickle, strides).ok_or_else(|| bad_tensor("no strides"))?,
    };
    if view.shape.len() != view.strides.len() {
        return Err(bad_tensor("a shape and strides that do not belong together"));
    }
    let range = range(name, &view, element, storage.length())?;
    let count = element_count(&view.shape).ok_or_else(|| bad_tensor("a shape that no memory holds"))?;
    budget.spend_tensor(count, element.size_in_memory(), view.shape.len())?;
    Ok(TensorRecord { name, storage, element, view, range })
}

/// The bytes that a view needs of a storage that has `length` of them.
fn range(name: &str, view: &View, element: Element, length: u64) -> Result<Range<u64>> {
    let (size, elements) = (element.size() as u64, view.range());
    let needed = elements.as_ref().map_or(usize::MAX, |elements| elements.end);
    match elements {
        Some(elements) if needed as u64 <= length / size => {
            Ok(elements.start as u64 * size..elements.end as u64 * size)
        }
        _ => {
            let expected = format!("{needed} elements in the storage of `{name}` {:?}", view.shape);
            Err(Malformed::new(expected, length / size, DAMAGED))
        }
    }
}

/// Reads `("storage", class, key, location, count, view)`; the zip form leaves `view` out.
fn storage<'a>(pickle: &Pickle<'a>, id: Value) -> Result<StorageReference<'a>> {
    let wrong = |found: &str| Malformed::new("a reference to a storage", found, SAVE_STATE_DICT);
    let fields = pickle.tuple(id).ok_or_else(|| wrong("something else"))?;
    let &[kind, class, key, _location, count, ..] = fields else {
        return Err(wrong("something else"));
    };
    if pickle.text(kind) != Some("storage") {
        return Err(wrong("a reference to a module"));
    }
    let Value::Global(Known::Storage(element)) = class else {
        return Err(wrong("no element type"));
    };
    let start = match fields.get(5) {
        None | Some(Value::None) => Some(0),
        Some(view) => pickle.tuple(*view).and_then(|view| pickle.count(*view.get(1)?)),
    };
    Ok(StorageReference {
        key: short(pickle.text(key).ok_or_else(|| wrong("no key"))?)?,
        element,
        count: pickle.count(count).ok_or_else(|| wrong("no element count"))?,
        start: start.ok_or_else(|| wrong("no view"))?,
    })
}

fn bad_tensor(found: &str) -> Malformed {
    Malformed::new("a tensor: storage, offset, shape and strides", found, DAMAGED)
}

fn short(name: &str) -> Result<&str> {
    if name.len() <= LONGEST_NAME {
        return Ok(name);
    }
    let expected = format!("names of at most {LONGEST_NAME} bytes");
    Err(Malformed::new(expected, format!("one of {}", name.len()), SAVE_STATE_DICT))
}

fn call<'p>(pickle: &'p Pickle<'_>, value: Value) -> Option<(Known, &'p [Value])> {
    match pickle.object(value)? {
        Object::Call { function, arguments } => Some((*function, pickle.tuple(*arguments)?)),
        _ => None,
    }
}

/// A tuple of counts, plain or as a `torch.Size`.
fn counts(pickle: &Pickle<'_>, value: Value) -> Option<Vec<usize>> {
    let tuple = match call(pickle, value) {
        Some((Known::Size, [tuple])) => *tuple,
        _ => value,
    };
    let tuple = pickle.tuple(tuple).filter(|tuple| tuple.len() <= MOST_DIMENSIONS)?;
    tuple.iter().map(|value| pickle.count(*value)).collect()
}

fn keys(pickle: &Pickle<'_>, items: &[[Value; 2]]) -> String {
    match listed(items.iter().filter_map(|[key, _]| pickle.text(*key))) {
        names if names.is_empty() => "a dictionary without names".to_owned(),
        names => format!("a dictionary without tensors: {names}…"),
    }
}

/// The first of these names.
fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.take(3).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn describe(pickle: &Pickle<'_>, value: Value) -> &'static str {
    match (value, pickle.object(value)) {
        (Value::None, _) => "None",
        (Value::Bool(_) | Value::Int(_) | Value::Float, _) => "a number",
        (_, Some(Object::Int(_) | Object::Long(_))) => "a number",
        (Value::Bytes, _) | (_, Some(Object::Text(_))) => "a text",
        (Value::Set, _) | (_, Some(Object::List(_) | Object::Tuple(_))) => "a list",
        (_, Some(Object::Call { function: Known::Tensor(_), .. })) => "a single tensor",
        _ => "something else",
    }
}
