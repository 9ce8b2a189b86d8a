//! The made-up shop whose visitors the demo plays: its pages, where people come from, and what they use.

/// Pages, the popular ones first: path and title.
pub(crate) const PAGES: [(&str, &str); 14] = [
    ("/", "Roastery: fresh coffee by post"),
    ("/shop", "All coffees"),
    ("/shop/espresso-nero", "Espresso Nero"),
    ("/shop/filter-sampler", "Filter sampler"),
    ("/blog/water-for-coffee", "Water for coffee"),
    ("/shop/decaf", "Decaf that tastes"),
    ("/pricing", "Subscriptions"),
    ("/blog/grinders-compared", "Seven grinders compared"),
    ("/about", "Who we are"),
    ("/blog/from-seed-to-cup", "From seed to cup"),
    ("/help/shipping", "Shipping"),
    ("/help/returns", "Returns"),
    ("/careers", "Work with us"),
    ("/legal/privacy", "Privacy"),
];

/// Where a visit begins: referrer and campaign (source, medium, name). More frequent ones are repeated.
pub(crate) const ORIGINS: [(&str, Option<[&str; 3]>); 12] = [
    ("", None),
    ("", None),
    ("https://www.google.com/", None),
    ("https://www.google.com/", None),
    (
        "https://www.google.com/",
        Some(["google", "cpc", "espresso"]),
    ),
    ("https://www.bing.com/", None),
    ("https://duckduckgo.com/", None),
    ("https://news.ycombinator.com/", None),
    (
        "https://www.instagram.com/",
        Some(["instagram", "social", "winter"]),
    ),
    ("https://chatgpt.com/", None),
    ("", Some(["newsletter", "email", "november"])),
    ("https://coffeegeek.example/reviews", None),
];

/// User agents of people.
pub(crate) const BROWSERS: [&str; 6] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Safari/605.1.15",
    "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36 Edg/141.0.0.0",
];

/// User agents of programs.
pub(crate) const BOTS: [&str; 4] = [
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
    "Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)",
    "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)",
];

/// Screens of the apps.
pub(crate) const SCREENS: [&str; 6] = ["Home", "Shop", "Product", "Cart", "Brew timer", "Account"];

/// Languages of visitors.
pub(crate) const LOCALES: [&str; 6] = ["en-US", "en-GB", "de-DE", "fr-FR", "sv-SE", "pt-BR"];

/// What is sold: id, name, price.
pub(crate) const PRODUCTS: [(&str, &str, f64); 5] = [
    ("p-1", "Espresso Nero", 14.5),
    ("p-2", "Filter sampler", 22.0),
    ("p-3", "Decaf that tastes", 13.9),
    ("p-4", "Hand grinder", 89.0),
    ("p-5", "Subscription, monthly", 24.0),
];

/// The shop's own address.
pub(crate) const SITE: &str = "https://roastery.example";
