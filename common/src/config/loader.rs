//! Layers of settings, later ones winning: defaults, named layers (a local stack's file, flags),
//! TOML files, environment variables. Every value remembers where it came from.

use std::collections::BTreeMap;
use std::path::Path;

use figment::providers::{Format, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::ConfigError;

/// Prefix of every environment variable that is read.
const ENV_PREFIX: &str = "WEIR_";
/// `WEIR_<SECTION>_<FIELD>_FILE` names a file that holds the value, as container secrets do.
const FILE_SUFFIX: &str = "_file";

/// Gathers settings by section; each call adds a layer over the earlier ones.
#[derive(Debug, Default, Clone)]
pub struct Loader {
    figment: Figment,
    defaults: BTreeMap<&'static str, Dict>,
}

/// One effective setting, for display.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Setting {
    /// Full name, such as `kafka.brokers`.
    pub name: String,
    /// Its value; `null` when unset.
    pub value: serde_json::Value,
    /// Where it came from: `default`, a file, an environment variable or a flag.
    pub origin: String,
}

struct Layer {
    origin: String,
    values: Dict,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.origin.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.values.clone()))
    }
}

impl Loader {
    /// Creates a loader that knows no section yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Declares a section with the defaults of its struct; to be called before any other layer.
    ///
    /// # Errors
    /// Fails if the defaults cannot be serialised as a table.
    pub fn section<T: Serialize + Default>(
        mut self,
        name: &'static str,
    ) -> Result<Self, ConfigError> {
        let dict = match Value::serialize(T::default()) {
            Ok(Value::Dict(_, dict)) => dict,
            Ok(_) => Dict::new(),
            Err(error) => return Err(ConfigError::from_figment(name, &error)),
        };
        self.defaults.insert(name, dict.clone());
        let values = Dict::from([(name.to_owned(), Value::from(dict))]);
        self.figment = self.figment.merge(Layer {
            origin: "default".to_owned(),
            values,
        });
        Ok(self)
    }

    /// Adds settings named in full (`kafka.brokers`) from a source that `origin` names, such as
    /// `flag --listen` or `local stack file /path`.
    #[must_use]
    pub fn layer<V: Into<Value>>(
        mut self,
        origin: &str,
        settings: impl IntoIterator<Item = (String, V)>,
    ) -> Self {
        let mut values = Dict::new();
        for (name, value) in settings {
            let path: Vec<&str> = name.split('.').collect();
            insert(&mut values, &path, value.into());
        }
        self.figment = self.figment.merge(Layer {
            origin: origin.to_owned(),
            values,
        });
        self
    }

    /// Adds a TOML file whose tables are sections.
    ///
    /// # Errors
    /// Fails if the file cannot be read, is not TOML, or has a section nobody declared.
    pub fn toml_file(self, path: &Path) -> Result<Self, ConfigError> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: name.clone(),
            source,
        })?;
        self.toml(&name, &text)
    }

    fn toml(mut self, path: &str, text: &str) -> Result<Self, ConfigError> {
        let mut values: Dict = Toml::from_str(text).map_err(|error| ConfigError::Syntax {
            path: path.to_owned(),
            message: error.to_string().trim_end().to_owned(),
        })?;
        for (section, value) in &mut values {
            let Some(defaults) = self.defaults.get(section.as_str()) else {
                return Err(ConfigError::Unknown {
                    setting: section.clone(),
                    origin: path.to_owned(),
                    known: self.section_names(),
                });
            };
            if let Value::Dict(_, dict) = value {
                flatten_free_maps(dict, defaults);
            }
        }
        self.figment = self.figment.merge(Layer {
            origin: path.to_owned(),
            values,
        });
        Ok(self)
    }

    /// Adds environment variables `WEIR_<SECTION>_<FIELD>`; other variables are ignored.
    ///
    /// A free map takes `WEIR_KAFKA_CLIENT_SECURITY_PROTOCOL` as its key `security.protocol`, a
    /// list is split at commas, and `…_FILE` names a file that holds the value. Variables that
    /// Kubernetes sets for a service called like a section (`WEIR_INGEST_SERVICE_HOST`) are ignored.
    ///
    /// # Errors
    /// Fails on a variable of a known section whose field does not exist, on a text that is not
    /// of the field's type, and on a file that cannot be read.
    pub fn env(
        mut self,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut variables: Vec<_> = variables.into_iter().collect();
        variables.sort();
        for (variable, text) in variables {
            let Some(name) = variable.strip_prefix(ENV_PREFIX) else {
                continue;
            };
            let name = name.to_ascii_lowercase();
            let found = self.defaults.iter().find_map(|(section, fields)| {
                let field = name.strip_prefix(section)?.strip_prefix('_')?;
                Some((*section, fields, field))
            });
            let Some((section, fields, field)) = found else {
                continue;
            };
            let origin = format!("environment variable {variable}");
            let Some((mut path, value)) = resolve(fields, field, '_', &text) else {
                if set_by_kubernetes(field) {
                    continue;
                }
                return Err(ConfigError::Unknown {
                    setting: format!("{section}.{field}"),
                    origin,
                    known: fields.keys().cloned().collect::<Vec<_>>().join(", "),
                });
            };
            path.insert(0, section.to_owned());
            let value = value.map_err(|problem| ConfigError::Invalid {
                setting: path.join("."),
                origin: origin.clone(),
                problem,
            })?;
            let mut values = Dict::new();
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            insert(&mut values, &path, value);
            self.figment = self.figment.merge(Layer { origin, values });
        }
        Ok(self)
    }

    /// Adds one setting named in full (`kafka.client.linger.ms`) whose value is given as text, read
    /// as the type of its field.
    ///
    /// # Errors
    /// Fails if no such setting exists or the text is not of its type.
    pub fn text(mut self, origin: &str, name: &str, text: &str) -> Result<Self, ConfigError> {
        let unknown = |known: String| ConfigError::Unknown {
            setting: name.to_owned(),
            origin: origin.to_owned(),
            known,
        };
        let (section, field) = name
            .split_once('.')
            .ok_or_else(|| unknown(self.section_names()))?;
        let fields = self
            .defaults
            .get(section)
            .ok_or_else(|| unknown(self.section_names()))?;
        let (mut path, value) = resolve(fields, field, '.', text)
            .ok_or_else(|| unknown(fields.keys().cloned().collect::<Vec<_>>().join(", ")))?;
        path.insert(0, section.to_owned());
        let value = value.map_err(|problem| ConfigError::Invalid {
            setting: name.to_owned(),
            origin: origin.to_owned(),
            problem,
        })?;
        let mut values = Dict::new();
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        insert(&mut values, &path, value);
        self.figment = self.figment.merge(Layer {
            origin: origin.to_owned(),
            values,
        });
        Ok(self)
    }

    /// Returns a section's effective settings.
    ///
    /// # Errors
    /// Names the setting, its source and what is expected.
    pub fn extract<T: DeserializeOwned>(&self, section: &str) -> Result<T, ConfigError> {
        self.figment
            .extract_inner(section)
            .map_err(|error| ConfigError::from_figment(section, &error))
    }

    /// Returns every effective setting by name, secrets included: redact before showing.
    #[must_use]
    pub fn settings(&self) -> Vec<Setting> {
        let mut settings = Vec::new();
        for section in self.defaults.keys() {
            if let Ok(value) = self.figment.find_value(section) {
                self.collect(section, &value, &mut settings);
            }
        }
        settings
    }

    fn collect(&self, name: &str, value: &Value, settings: &mut Vec<Setting>) {
        if let Value::Dict(_, dict) = value
            && !dict.is_empty()
        {
            for (key, value) in dict {
                self.collect(&format!("{name}.{key}"), value, settings);
            }
            return;
        }
        let origin = self.figment.get_metadata(value.tag());
        settings.push(Setting {
            name: name.to_owned(),
            value: value.deserialize().unwrap_or_default(),
            origin: origin.map_or_else(String::new, |from| from.name.to_string()),
        });
    }

    fn section_names(&self) -> String {
        let names: Vec<&str> = self.defaults.keys().copied().collect();
        names.join(", ")
    }
}

fn insert(values: &mut Dict, path: &[&str], value: Value) {
    let Some((first, rest)) = path.split_first() else {
        return;
    };
    if rest.is_empty() {
        values.insert((*first).to_owned(), value);
        return;
    }
    let inner = values
        .entry((*first).to_owned())
        .or_insert_with(|| Value::from(Dict::new()));
    if let Value::Dict(_, inner) = inner {
        insert(inner, rest, value);
    }
}

/// A map whose keys are the user's (empty by default) has dots in its keys: TOML's
/// `linger.ms = 5` means the key `linger.ms`, not a table.
fn flatten_free_maps(dict: &mut Dict, defaults: &Dict) {
    for (name, value) in dict {
        let (Value::Dict(_, inner), Some(Value::Dict(_, default))) = (value, defaults.get(name))
        else {
            continue;
        };
        if default.is_empty() {
            let mut flat = Dict::new();
            flatten("", std::mem::take(inner), &mut flat);
            *inner = flat;
        } else {
            flatten_free_maps(inner, default);
        }
    }
}

fn flatten(prefix: &str, dict: Dict, flat: &mut Dict) {
    for (key, value) in dict {
        match value {
            Value::Dict(_, inner) => flatten(&format!("{prefix}{key}."), inner, flat),
            value => {
                flat.insert(format!("{prefix}{key}"), value);
            }
        }
    }
}

type Resolved = (Vec<String>, Result<Value, String>);

/// Finds the field that `name` means, nested names being separated by `separator`, and gives the
/// text its default's type.
fn resolve(fields: &Dict, name: &str, separator: char, text: &str) -> Option<Resolved> {
    if let Some(default) = fields.get(name)
        && !matches!(default, Value::Dict(..))
    {
        return Some((vec![name.to_owned()], typed(default, text)));
    }
    for (field, default) in fields {
        let Value::Dict(_, inner) = default else {
            continue;
        };
        let Some(rest) = name
            .strip_prefix(field)
            .and_then(|n| n.strip_prefix(separator))
        else {
            continue;
        };
        if inner.is_empty() {
            let key = rest.replace(separator, ".");
            return Some((vec![field.clone(), key], Ok(Value::from(text))));
        }
        if let Some((mut path, value)) = resolve(inner, rest, separator, text) {
            path.insert(0, field.clone());
            return Some((path, value));
        }
    }
    let name = name.strip_suffix(FILE_SUFFIX)?;
    let (path, _) = resolve(fields, name, separator, "")?;
    let value = match std::fs::read_to_string(text) {
        Ok(content) => {
            let content = content.trim_end_matches(['\r', '\n']);
            resolve(fields, name, separator, content)?.1
        }
        Err(error) => Err(format!("cannot read the file {text}: {error}")),
    };
    Some((path, value))
}

/// Reads `text` as the type of the default, so that a password of digits stays text. A field
/// without a default is text.
fn typed(default: &Value, text: &str) -> Result<Value, String> {
    let bad = |what: &str| format!("found \"{text}\", expected {what}");
    match default {
        Value::Bool(..) => text
            .parse::<bool>()
            .map(Value::from)
            .map_err(|_| bad("true or false")),
        Value::Num(..) => match (text.parse::<u64>(), text.parse::<f64>()) {
            (Ok(number), _) => Ok(Value::from(number)),
            (Err(_), Ok(number)) => Ok(Value::from(number)),
            (Err(_), Err(_)) => Err(bad("a number")),
        },
        Value::Array(..) => {
            let items = text.split(',').map(str::trim).filter(|i| !i.is_empty());
            Ok(Value::from(items.map(Value::from).collect::<Vec<_>>()))
        }
        Value::String(..) | Value::Char(..) | Value::Empty(..) | Value::Dict(..) => {
            Ok(Value::from(text))
        }
    }
}

/// A Kubernetes service `weir-ingest` puts `WEIR_INGEST_PORT=tcp://…` and its like into every pod.
fn set_by_kubernetes(field: &str) -> bool {
    field == "port"
        || ["service_host", "service_port", "port_"]
            .iter()
            .any(|p| field.starts_with(p))
}

#[cfg(test)]
mod tests;
