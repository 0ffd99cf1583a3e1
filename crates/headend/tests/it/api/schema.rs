//! Holds answers against the description of the API.

use expect_test::expect_file;
use serde_json::{Value, json};

use crate::http::Answer;

fn document() -> Value {
    serde_json::to_value(headend::api::openapi()).unwrap()
}

#[test]
fn the_description_is_as_it_was_agreed() {
    let text = serde_json::to_string_pretty(&document()).unwrap();
    expect_file!["openapi.json"].assert_eq(&text);
}

/// Checks status, media type and every field of an answer.
pub(crate) fn check(method: &str, path: &str, answer: &Answer) {
    let document = document();
    let path = path.split('?').next().unwrap();
    let paths = document["paths"].as_object().unwrap();
    let fits = |template: &str| {
        let parts: Vec<_> = template.split('/').collect();
        let given: Vec<_> = path.split('/').collect();
        let mut pairs = parts.iter().zip(&given);
        parts.len() == given.len() && pairs.all(|(part, given)| part == given || *part == "{id}")
    };
    let exact = paths.get(path);
    let found = exact.or_else(|| {
        paths
            .iter()
            .find(|(path, _)| fits(path))
            .map(|(_, item)| item)
    });
    let operation = &found.unwrap_or_else(|| panic!("{path} is not described"))[method];
    let response = &operation["responses"][answer.status.to_string()];
    assert!(
        !response.is_null(),
        "{method} {path} {} is not described",
        answer.status
    );
    let Some(content) = response["content"].as_object() else {
        assert!(answer.body.is_empty());
        return;
    };
    let kind = answer.headers["content-type"].split(';').next().unwrap();
    let media = content
        .get(kind)
        .unwrap_or_else(|| panic!("{path} gives {kind}"));
    if kind == "application/json" {
        validate(&document, &media["schema"], &answer.json(), path);
    }
}

/// The part of JSON Schema that the description uses; what is not described is refused.
fn validate(document: &Value, schema: &Value, value: &Value, at: &str) {
    if let Some(reference) = schema["$ref"].as_str() {
        let pointer = reference.strip_prefix('#').unwrap();
        return validate(document, document.pointer(pointer).unwrap(), value, at);
    }
    if let Some(options) = schema["oneOf"].as_array() {
        let fitting = options
            .iter()
            .filter(|option| value.is_null() == (option["type"] == "null"));
        let fitting: Vec<_> = fitting.collect();
        assert_eq!(fitting.len(), 1, "{at}: {value} fits no option");
        return validate(document, fitting[0], value, at);
    }
    if let Some(parts) = schema["allOf"].as_array() {
        return validate(document, &one_of_parts(document, parts), value, at);
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().map(|one| one.as_str().unwrap()).collect(),
        _ => panic!("{at}: a schema without a type: {schema}"),
    };
    let is = |kind: &str| match kind {
        "null" => value.is_null(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{at}: type {other}"),
    };
    assert!(
        types.iter().any(|kind| is(kind)),
        "{at}: {value} is none of {types:?}"
    );
    if let (Some("date-time"), Some(text)) = (schema["format"].as_str(), value.as_str()) {
        assert!(headend::parse_rfc3339(text).is_some(), "{at}: {text}");
        assert!(text.ends_with('Z'), "{at}: {text} is not UTC");
    }
    if let Some(items) = value.as_array() {
        for (index, item) in items.iter().enumerate() {
            validate(document, &schema["items"], item, &format!("{at}[{index}]"));
        }
    }
    if let (Some(fields), Some(properties)) = (value.as_object(), schema["properties"].as_object())
    {
        for required in schema["required"].as_array().into_iter().flatten() {
            let required = required.as_str().unwrap();
            assert!(fields.contains_key(required), "{at}.{required} is missing");
        }
        for (name, field) in fields {
            let property = properties.get(name);
            let property = property.unwrap_or_else(|| panic!("{at}.{name} is not described"));
            validate(document, property, field, &format!("{at}.{name}"));
        }
    }
}

/// The object whose fields are those of all parts.
fn one_of_parts(document: &Value, parts: &[Value]) -> Value {
    let (mut properties, mut required) = (serde_json::Map::new(), Vec::new());
    for part in parts {
        let named = part["$ref"].as_str();
        let named = named.map(|it| document.pointer(it.strip_prefix('#').unwrap()).unwrap());
        let part = named.unwrap_or(part);
        assert_eq!(part["type"], "object", "{part}");
        for (name, field) in part["properties"].as_object().unwrap() {
            let twice = properties.insert(name.clone(), field.clone());
            assert_eq!(twice, None, "{name} is described twice");
        }
        required.extend(part["required"].as_array().into_iter().flatten().cloned());
    }
    json!({ "type": "object", "properties": properties, "required": required })
}
