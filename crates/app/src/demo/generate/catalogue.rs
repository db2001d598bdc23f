//! The catalogue as nested JSON, and the stock of its products in two warehouses.

use super::{Shop, write_file};
use model::Result;
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;

/// Departments: name, cheapest price in euros, kinds of things.
const DEPARTMENTS: &[(&str, u64, [&str; 6])] = &[
    ("Cuisine", 14, ["Théière", "Casserole", "Saladier", "Tasse", "Plat à four", "Carafe"]),
    ("Maison", 12, ["Coussin", "Plaid", "Bougie", "Miroir", "Vase", "Cadre"]),
    ("Mode", 18, ["Écharpe", "Sac", "Ceinture", "Chapeau", "Paire de gants", "Foulard"]),
    ("Papeterie", 4, ["Carnet", "Stylo plume", "Agenda", "Carte de vœux", "Encre", "Trousse"]),
    ("Jardin", 9, ["Arrosoir", "Sécateur", "Pot", "Lanterne", "Mangeoire", "Tablier"]),
    ("Enfants", 8, ["Puzzle", "Doudou", "Toupie", "Livre d'images", "Mobile", "Veilleuse"]),
    ("Épicerie", 3, ["Confiture", "Miel", "Thé", "Chocolat", "Sel aux herbes", "Sirop"]),
    ("Mobilier", 90, ["Tabouret", "Étagère", "Lampe", "Table basse", "Fauteuil", "Commode"]),
];

const MANNERS: [&str; 10] = [
    "en fonte",
    "en lin",
    "en laine",
    "bleu nuit",
    "vert sauge",
    "ocre",
    "en grès",
    "à rayures",
    "naturel",
    "brodé main",
];

const SUPPLIERS: &[(&str, &str)] = &[
    ("Atelier Morel", "France"),
    ("Verreries du Jura", "France"),
    ("Maison Peeters", "Belgique"),
    ("Lavaux Design", "Suisse"),
    ("Tissages Brun & fils", "France"),
];

const WAREHOUSES: &[(&str, &str)] = &[("LYN", "Lyon"), ("LIL", "Lille")];

/// Products in the catalogue, whatever the scale: a shop sells more of the same.
const PRODUCTS: u64 = 480;

/// `P-0042`.
pub(super) fn reference_of(product: u64) -> String {
    format!("P-{:04}", product + 1)
}

/// A product somebody buys: few sell well, most sell now and then.
pub(super) fn popular(random: &mut stdx::hash::Random) -> u64 {
    let unit = random.unit();
    let rank = (unit * unit * PRODUCTS as f64) as u64;
    // Neighbours in rank are strangers in the catalogue: 203 and 480 have no common factor but 1.
    rank * 203 % PRODUCTS
}

/// Tens of cents, so that a discount of tens of percent never needs rounding.
pub(super) fn price_cents(shop: &Shop, product: u64) -> u64 {
    let (_, cheapest, _) = department_of(product);
    let mut random = shop.random("price", product);
    let euros = cheapest + random.below(cheapest * 3);
    // A few pieces are precious, and cost more than a thousand.
    let euros = if cheapest >= 90 && random.below(6) == 0 { euros * 6 } else { euros };
    euros * 100 + [90, 50, 0][random.below(3) as usize]
}

fn department_of(product: u64) -> (&'static str, u64, [&'static str; 6]) {
    let (name, cheapest, things) = DEPARTMENTS[product as usize / 60];
    (name, cheapest, things)
}

/// Writes `{"exporté_le": …, "catalogue": [ … ]}`; gives the number of products.
pub(super) fn write_products(shop: &Shop, path: &Path) -> Result<u64> {
    write_file(path, |file| {
        write!(file, "{{\n  \"exporté_le\": \"2025-09-01T06:00:00+02:00\",\n  \"catalogue\": [")?;
        for product in 0..PRODUCTS {
            let comma = if product == 0 { "" } else { "," };
            write!(file, "{comma}\n    {}", describe(shop, product))?;
        }
        writeln!(file, "\n  ]\n}}")?;
        Ok(PRODUCTS)
    })
}

fn describe(shop: &Shop, product: u64) -> Value {
    let (department, _, things) = department_of(product);
    let thing = things[product as usize / 10 % 6];
    let manner = MANNERS[product as usize % 10];
    let mut random = shop.random("product", product);
    let (supplier, country) = SUPPLIERS[random.below(SUPPLIERS.len() as u64) as usize];
    // Some were never filed anywhere: the report calls them so.
    let department = (random.below(60) > 0).then_some(department);
    let mut tags = vec![manner];
    if random.below(4) == 0 {
        tags.push("cadeau");
    }
    json!({
        "référence": reference_of(product),
        "nom": format!("{thing} {manner}"),
        "rayon": {"nom": department, "famille": thing},
        "prix": {"montant": price_cents(shop, product) as f64 / 100.0, "devise": "EUR"},
        "fournisseur": {"nom": supplier, "pays": country, "délai_jours": 3 + random.below(20)},
        "étiquettes": tags,
    })
}

/// Writes the items that the stock service hands out page by page; gives their number.
pub(super) fn write_stock(shop: &Shop, path: &Path) -> Result<u64> {
    write_file(path, |file| {
        let mut items = 0;
        write!(file, "[")?;
        for product in 0..PRODUCTS {
            for (at, (code, city)) in WAREHOUSES.iter().enumerate() {
                let mut random = shop.random("stock", product * 2 + at as u64);
                let quantity = if random.below(20) == 0 { 0 } else { random.below(180) };
                let item = json!({
                    "reference": reference_of(product),
                    "warehouse": {"code": code, "city": city},
                    "quantity": quantity,
                    "counted_at": "2025-11-30T05:30:00Z",
                });
                let comma = if items == 0 { "" } else { "," };
                write!(file, "{comma}\n  {item}")?;
                items += 1;
            }
        }
        writeln!(file, "\n]")?;
        Ok(items)
    })
}
