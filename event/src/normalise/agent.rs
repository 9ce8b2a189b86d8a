//! User agents: browser, operating system and device by the rules of uap-core, and whether it is a robot that
//! says so.
//!
//! Parsing one takes far longer than the rest of an event, and agents repeat, so parsed ones are kept,
//! boundedly. What comes out depends on the text alone.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use ua_parser::{Extractor, Regexes};

/// The rules, as uap-core publishes them (see `data/uap/ORIGIN.md`).
const RULES: &str = include_str!("../../data/uap/regexes.yaml");

/// Longest head of an agent that is looked at. Real ones end well before; the rules' cost grows with the
/// text.
const MAX_AGENT_BYTES: usize = 1_024;

/// Agents kept in each of the cache's two generations. A parsed agent takes about 300 bytes.
const GENERATION: usize = 8_192;

/// The device family that uap-core gives to crawlers.
const SPIDER: &str = "Spider";

/// What a user agent says about itself; empty where the rules know nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Agent {
    pub(crate) browser: String,
    pub(crate) browser_version: String,
    pub(crate) os: String,
    pub(crate) os_version: String,
    pub(crate) device: String,
    pub(crate) is_spider: bool,
}

/// The compiled rules and the agents parsed lately.
pub(crate) struct Agents {
    rules: Extractor<'static>,
    parsed: Mutex<Generations>,
}

/// A bounded cache: when the young generation is full it becomes the old one, and what was not asked for
/// since is forgotten.
#[derive(Default)]
struct Generations {
    young: HashMap<Box<str>, Arc<Agent>>,
    old: HashMap<Box<str>, Arc<Agent>>,
}

impl std::fmt::Debug for Agents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Agents").finish_non_exhaustive()
    }
}

impl Agents {
    /// Compiles the rules. Fails only when the file this program was built with is broken.
    pub(crate) fn new() -> Result<Self, String> {
        let rules: Regexes<'static> =
            serde_yaml_ng::from_str(RULES).map_err(|error| error.to_string())?;
        Ok(Self {
            rules: Extractor::try_from(rules).map_err(|error| error.to_string())?,
            parsed: Mutex::default(),
        })
    }

    /// Returns what `agent` says about itself.
    pub(crate) fn parse(&self, agent: &str) -> Arc<Agent> {
        let agent = &agent[..agent.floor_char_boundary(MAX_AGENT_BYTES)];
        if let Some(known) = self.lock().get(agent) {
            return known;
        }
        let parsed = Arc::new(self.extract(agent));
        self.lock().insert(agent.into(), Arc::clone(&parsed));
        parsed
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Generations> {
        // A panic elsewhere leaves at worst a cache without its newest entry.
        self.parsed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn extract(&self, text: &str) -> Agent {
        let mut agent = Agent::default();
        if let Some(browser) = self.rules.ua.extract(text) {
            agent.browser = known(&browser.family);
            agent.browser_version = version(&[browser.major, browser.minor, browser.patch]);
        }
        if let Some(os) = self.rules.os.extract(text) {
            agent.os = known(&os.os);
            agent.os_version = version(&[os.major, os.minor, os.patch]);
        }
        if let Some(device) = self.rules.dev.extract(text) {
            agent.is_spider = device.device == SPIDER;
            agent.device = known(&device.device);
        }
        agent
    }
}

impl Generations {
    fn get(&mut self, agent: &str) -> Option<Arc<Agent>> {
        if let Some(known) = self.young.get(agent) {
            return Some(Arc::clone(known));
        }
        let (agent, known) = self.old.remove_entry(agent)?;
        self.insert(agent, Arc::clone(&known));
        Some(known)
    }

    fn insert(&mut self, agent: Box<str>, parsed: Arc<Agent>) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(agent, parsed);
    }
}

/// uap-core says "Other" for what it does not know; an empty text says it as well and counts as absent.
fn known(family: &str) -> String {
    if family == "Other" {
        String::new()
    } else {
        family.to_owned()
    }
}

fn version<T: AsRef<str>>(parts: &[Option<T>]) -> String {
    let parts: Vec<Cow<'_, str>> = parts
        .iter()
        .map_while(|part| part.as_ref().map(|part| part.as_ref().into()))
        .take_while(|part: &Cow<'_, str>| !part.is_empty())
        .collect();
    parts.join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";
    const IPHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1";
    const GOOGLEBOT: &str =
        "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";

    #[test]
    fn browsers_phones_and_crawlers_are_told_apart() {
        let agents = Agents::new().unwrap();
        let firefox = agents.parse(FIREFOX);
        assert_eq!(
            (&*firefox.browser, &*firefox.browser_version, &*firefox.os),
            ("Firefox", "128.0", "Linux")
        );
        assert!(!firefox.is_spider);
        let iphone = agents.parse(IPHONE);
        assert_eq!(
            (&*iphone.os, &*iphone.os_version, &*iphone.device),
            ("iOS", "17.5.1", "iPhone")
        );
        let bot = agents.parse(GOOGLEBOT);
        assert_eq!((&*bot.browser, bot.is_spider), ("Googlebot", true));
        for tool in [
            "curl/8.5.0",
            "python-requests/2.32.3",
            "analytics-node-next/latest",
            "",
        ] {
            assert!(!agents.parse(tool).is_spider, "{tool}");
        }
        assert_eq!(*agents.parse("something else"), Agent::default());
    }

    #[test]
    fn endless_agents_are_cut_and_any_number_of_them_is_kept_within_bounds() {
        let agents = Agents::new().unwrap();
        agents.parse(&"é".repeat(1 << 20));
        for i in 0..3 * GENERATION {
            agents
                .lock()
                .insert(format!("agent {i}").into(), Arc::default());
        }
        let cache = agents.lock();
        assert!(cache.young.len() <= GENERATION && cache.old.len() <= GENERATION);
    }

    #[test]
    fn an_agent_in_use_outlives_the_change_of_generations() {
        let mut cache = Generations::default();
        let parsed = Arc::new(Agent::default());
        cache.insert("used".into(), Arc::clone(&parsed));
        for i in 0..3 * GENERATION {
            assert!(
                cache
                    .get("used")
                    .is_some_and(|known| Arc::ptr_eq(&known, &parsed)),
                "after {i}"
            );
            cache.insert(format!("agent {i}").into(), Arc::default());
        }
        assert!(cache.get("agent 0").is_none());
    }
}
