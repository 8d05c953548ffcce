//! What PyTorch's pickles mean: state dicts, tensors and the storages that they refer to.

use super::StateDict;
use super::element::{Budget, Element, View};
use super::malformed::{DAMAGED, Malformed, Result, SAVE_STATE_DICT};
use super::pickle::{Object, Pickle, Value};
use std::collections::HashMap;

/// PyTorch's own limit.
const MOST_DIMENSIONS: usize = 64;

/// The `module.name`s that a state dict may mention. They are compared, never called.
pub(super) fn known(name: &str) -> bool {
    matches!(
        name,
        "collections.OrderedDict"
            | "torch._utils._rebuild_tensor_v2"
            | "torch._utils._rebuild_tensor_v3"
            | "torch._utils._rebuild_parameter"
            | "torch._utils._rebuild_parameter_with_state"
            | "torch.Size"
            | "torch.device"
    ) || name
        .strip_prefix("torch.")
        .is_some_and(|rest| rest.ends_with("Storage") || Element::of_dtype(rest).is_some())
}

/// A storage as a pickle refers to it.
#[derive(Debug)]
pub(super) struct StorageReference<'a> {
    pub(super) key: &'a str,
    pub(super) element: Element,
    /// Elements of the whole storage.
    pub(super) count: usize,
    /// Where a view of it begins, in elements; the legacy form's `view_metadata`.
    start: usize,
}

/// A tensor as a pickle describes it.
#[derive(Debug)]
pub(super) struct TensorRecord<'a> {
    pub(super) storage: StorageReference<'a>,
    element: Element,
    view: View,
}

/// Every storage that the pickle refers to, by key.
pub(super) fn storages(pickle: &Pickle) -> Result<HashMap<&str, StorageReference<'_>>> {
    let mut storages: HashMap<&str, StorageReference<'_>> = HashMap::new();
    for object in &pickle.objects {
        let Object::Persistent(id) = object else { continue };
        let storage = storage(pickle, *id)?;
        let (element, count) = (storage.element, storage.count);
        let first = storages.entry(storage.key).or_insert(storage);
        if (first.element, first.count) != (element, count) {
            let found = format!("storage `{}` described in two ways", first.key);
            return Err(Malformed::new("one description of each storage", found, DAMAGED));
        }
    }
    Ok(storages)
}

/// The tensors of the state dict that `records` describe.
pub(super) fn build<'a>(
    records: &[(&str, TensorRecord<'_>)],
    budget: &mut Budget,
    bytes_of: impl Fn(&str) -> Option<&'a [u8]>,
) -> Result<StateDict> {
    let mut state_dict = StateDict::new();
    for (name, record) in records {
        let key = record.storage.key;
        let bytes = bytes_of(key).ok_or_else(|| {
            Malformed::new(format!("storage `{key}` of `{name}`"), "no such storage", DAMAGED)
        })?;
        let tensor = record.view.tensor(name, bytes, record.element, budget)?;
        state_dict.insert(name.to_string(), tensor);
    }
    Ok(state_dict)
}

/// The named tensors of a state dict, which is the pickle's root or the only state dict directly inside it.
pub(super) fn state_dict(pickle: &Pickle) -> Result<Vec<(&str, TensorRecord<'_>)>> {
    let items = dictionary(pickle, pickle.root)
        .ok_or_else(|| Malformed::new("a state dict", describe(pickle, pickle.root), SAVE_STATE_DICT))?;
    let records = tensors(pickle, &items)?;
    if !records.is_empty() {
        return Ok(records);
    }
    let mut found = Vec::new();
    for &(key, value) in &items {
        let Some(nested) = dictionary(pickle, value) else {
            continue;
        };
        let records = tensors(pickle, &nested)?;
        if !records.is_empty() {
            found.push((pickle.text(key).unwrap_or("?"), records));
        }
    }
    match found.len() {
        1 => Ok(found.swap_remove(0).1),
        0 => Err(Malformed::new("a state dict with tensors", keys(pickle, &items), SAVE_STATE_DICT)),
        _ => {
            let names: Vec<_> = found.iter().map(|(name, _)| format!("`{name}`")).collect();
            let found = format!("{} state dicts: {}", names.len(), names.join(", "));
            Err(Malformed::new("one state dict", found, SAVE_STATE_DICT))
        }
    }
}

/// The dictionary's tensors; entries of another kind, such as an epoch, are no weights.
fn tensors<'a>(pickle: &'a Pickle, items: &[(Value, Value)]) -> Result<Vec<(&'a str, TensorRecord<'a>)>> {
    let mut records = Vec::new();
    for &(key, value) in items {
        if let (Some(name), Some((function, arguments))) = (pickle.text(key), call(pickle, value))
            && let Some(record) = tensor(pickle, function, arguments)?
        {
            records.push((name, record));
        }
    }
    Ok(records)
}

/// The tensor that a call would rebuild, or `None` if the function rebuilds none.
fn tensor<'a>(pickle: &'a Pickle, function: &str, arguments: &[Value]) -> Result<Option<TensorRecord<'a>>> {
    let (function, arguments) = match (function, arguments) {
        ("torch._utils._rebuild_parameter" | "torch._utils._rebuild_parameter_with_state", [data, ..]) => {
            call(pickle, *data).ok_or_else(|| bad_tensor("a parameter without a tensor"))?
        }
        other => other,
    };
    let (dtype, storage_id, view) = match (function, arguments) {
        ("torch._utils._rebuild_tensor_v2", [id, offset, shape, strides, ..]) => {
            (None, id, [offset, shape, strides])
        }
        ("torch._utils._rebuild_tensor_v3", [id, offset, shape, strides, _, _, dtype, ..]) => {
            (Some(*dtype), id, [offset, shape, strides])
        }
        (function, _) if function.starts_with("torch._utils.") => {
            return Err(bad_tensor("too few arguments"));
        }
        _ => return Ok(None),
    };
    let Some(Object::Persistent(id)) = pickle.object(*storage_id) else {
        return Err(bad_tensor("none"));
    };
    let storage = storage(pickle, *id)?;
    let element = match dtype {
        None => storage.element,
        Some(dtype) => {
            let name = pickle.global(dtype).and_then(|name| name.strip_prefix("torch."));
            name.and_then(Element::of_dtype).ok_or_else(|| bad_tensor("an unknown element type"))?
        }
    };
    let [offset, shape, strides] = view;
    let view = View {
        offset: count(*offset)
            .and_then(|offset| offset.checked_add(storage.start))
            .ok_or_else(|| bad_tensor("no offset"))?,
        shape: counts(pickle, *shape).ok_or_else(|| bad_tensor("no shape"))?,
        strides: counts(pickle, *strides).ok_or_else(|| bad_tensor("no strides"))?,
    };
    if view.shape.len() != view.strides.len() || view.shape.len() > MOST_DIMENSIONS {
        return Err(bad_tensor("a shape and strides that do not belong together"));
    }
    Ok(Some(TensorRecord { storage, element, view }))
}

/// Reads `("storage", class, key, location, count, view)`; the zip form leaves `view` out.
fn storage(pickle: &Pickle, id: Value) -> Result<StorageReference<'_>> {
    let wrong = |found: &str| Malformed::new("a reference to a storage", found, SAVE_STATE_DICT);
    let fields = pickle.tuple(id).ok_or_else(|| wrong("something else"))?;
    let (kind, class, key, length) = match fields {
        [kind, class, key, _location, length, ..] => (*kind, *class, *key, *length),
        _ => return Err(wrong("something else")),
    };
    if pickle.text(kind) != Some("storage") {
        return Err(wrong("a reference to a module"));
    }
    let class = pickle.global(class).ok_or_else(|| wrong("no element type"))?;
    let element = Element::of_storage_class(class).ok_or_else(|| {
        let expected = "elements of a float, integer or bool type";
        Malformed::new(expected, format!("`{class}`"), "Convert the tensors before saving, `tensor.float()`.")
    })?;
    let start = match fields.get(5) {
        None | Some(Value::None) => Some(0),
        Some(view) => pickle.tuple(*view).and_then(|view| count(*view.get(1)?)),
    };
    Ok(StorageReference {
        key: pickle.text(key).ok_or_else(|| wrong("no key"))?,
        element,
        count: count(length).ok_or_else(|| wrong("no element count"))?,
        start: start.ok_or_else(|| wrong("no view"))?,
    })
}

fn bad_tensor(found: &str) -> Malformed {
    Malformed::new("a tensor: storage, offset, shape and strides", found, DAMAGED)
}

fn call(pickle: &Pickle, value: Value) -> Option<(&str, &[Value])> {
    match pickle.object(value)? {
        Object::Call { callable, arguments, .. } => {
            Some((pickle.global(*callable)?, pickle.tuple(*arguments)?))
        }
        _ => None,
    }
}

/// The entries of a `dict` or an `OrderedDict`, which old Pythons rebuild from a list of pairs.
fn dictionary(pickle: &Pickle, value: Value) -> Option<Vec<(Value, Value)>> {
    if let Object::Dict(items) = pickle.object(value)? {
        return Some(items.clone());
    }
    let Object::Call { items, .. } = pickle.object(value)? else {
        return None;
    };
    let ("collections.OrderedDict", arguments) = call(pickle, value)? else {
        return None;
    };
    let mut all = Vec::new();
    if let Some(Object::List(pairs)) = arguments.first().and_then(|list| pickle.object(*list)) {
        for pair in pairs {
            match pickle.object(*pair)? {
                Object::List(pair) | Object::Tuple(pair) if pair.len() == 2 => all.push((pair[0], pair[1])),
                _ => return None,
            }
        }
    }
    all.extend(items);
    Some(all)
}

fn count(value: Value) -> Option<usize> {
    match value {
        Value::Int(value) => usize::try_from(value).ok(),
        _ => None,
    }
}

/// A tuple of counts, plain or as a `torch.Size`.
fn counts(pickle: &Pickle, value: Value) -> Option<Vec<usize>> {
    let tuple = match call(pickle, value) {
        Some(("torch.Size", [tuple])) => *tuple,
        _ => value,
    };
    pickle.tuple(tuple)?.iter().map(|value| count(*value)).collect()
}

fn keys(pickle: &Pickle, items: &[(Value, Value)]) -> String {
    let names: Vec<_> = items.iter().filter_map(|(key, _)| pickle.text(*key)).take(3).collect();
    if names.is_empty() {
        return "a dictionary without names".to_string();
    }
    format!("a dictionary without tensors: `{}`…", names.join("`, `"))
}

fn describe(pickle: &Pickle, value: Value) -> String {
    match (value, pickle.object(value)) {
        (Value::None, _) => "None".to_string(),
        (Value::Bool(_) | Value::Int(_) | Value::Float, _) => "a number".to_string(),
        (_, Some(Object::Text(_) | Object::Bytes)) => "a text".to_string(),
        (_, Some(Object::List(_) | Object::Tuple(_) | Object::Set)) => "a list".to_string(),
        (_, Some(Object::Call { callable, .. })) => match pickle.global(*callable) {
            Some(name) if name.starts_with("torch._utils.") => "a single tensor".to_string(),
            Some(name) => format!("a `{name}`"),
            None => "a call".to_string(),
        },
        _ => "something else".to_string(),
    }
}
