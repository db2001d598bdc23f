//! Open data as it is published: a record shop, postal codes, shops on a map, an epidemic.
//!
//! The files are read where they are. Figures come from a count of the files with another program
//! (Python's `csv`, `json`, `sqlite3` and `xml` modules); comments say how they come about.

use crate::program::{Project, data};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

/// A project that may read the open data.
struct Open {
    data: PathBuf,
    project: Project,
}

impl Open {
    fn new() -> Option<Self> {
        let data = data()?.join("open").canonicalize().unwrap();
        let project = Project::new(&[]);
        let text = format!("affluent: 1\nname: test\nallowed_paths: {}\n", json!([data]));
        project.write("affluent.yaml", text);
        Some(Self { data, project })
    }

    /// Writes a pipeline; `OPEN` in it stands for the folder of the data.
    fn pipeline(&self, name: &str, nodes: &str) {
        let nodes = nodes.replace("OPEN", self.data.to_str().unwrap());
        let text = format!("affluent: 1\nkind: pipeline\nname: {name}\nnodes:{nodes}");
        self.project.write(&format!("pipelines/{name}.yaml"), text);
    }

    fn count(&self, table: &str) -> Value {
        self.project.value(&format!("select count(*) from {table}"))
    }
}

const CHINOOK: &str = r#"
  - {id: invoices, use: sqlite, with: {path: OPEN/sales/Chinook_Sqlite.sqlite, table: Invoice}}
  - {id: lines, use: sqlite, with: {path: OPEN/sales/Chinook_Sqlite.sqlite, table: InvoiceLine}}
  - {id: bronze_invoices, use: write_table, from: invoices, with: {table: bronze.invoices, mode: overwrite}}
  - {id: bronze_lines, use: write_table, from: lines, with: {table: bronze.invoice_lines, mode: overwrite}}
  - id: sold
    use: join
    from: {left: lines, right: invoices}
    with: {on: [invoiceid], suffix: _of_invoice}
  - id: valued
    use: derive
    from: sold
    with: {columns: {day: "cast(invoicedate as date)", amount: "cast(unitprice * quantity as decimal(10,2))"}}
  - id: checked
    use: validate
    from: valued
    with: {checks: [{not_null: [day, amount]}, {range: {amount: {min: 0}}}, {unique: [invoicelineid], severity: fail}]}
  - {id: silver, use: write_table, from: checked, with: {table: silver.sales, mode: merge, key: [invoicelineid]}}
  - id: daily
    use: aggregate
    from: silver
    with: {group_by: day, aggregations: {revenue: sum(amount), orders: count(distinct invoiceid), units: sum(quantity)}}
  - {id: gold, use: write_table, from: daily, with: {table: gold.sales_daily_metrics, mode: overwrite}}
"#;

#[test]
fn a_the_record_shop_has_its_revenue_of_each_day() {
    let Some(open) = Open::new() else { return };
    open.pipeline("sales", CHINOOK);
    open.project.ok(&["run"]);
    assert!(open.project.ok(&["run"]).contains("nothing to do"));
    // 412 invoices of 2 240 lines, on 354 days from 2021-01-01 to 2025-12-22.
    assert_eq!(open.count("bronze.invoices"), 412);
    assert_eq!(open.count("bronze.invoice_lines"), 2240);
    assert_eq!(open.count("silver.sales"), 2240);
    let total = open.project.query(
        "select count(*) as days, cast(sum(revenue) as string) as revenue, sum(orders) as orders,
             sum(units) as units, min(day) as first, max(day) as last
         from gold.sales_daily_metrics",
    );
    let expected = json!({
        "days": 354, "revenue": "2328.60", "orders": 412, "units": 2240,
        "first": "2021-01-01", "last": "2025-12-22"
    });
    assert_eq!(total, [expected]);
    for sum in [
        "select cast(sum(unitprice * quantity) as string) from bronze.invoice_lines",
        "select cast(sum(total) as string) from bronze.invoices",
    ] {
        assert_eq!(open.project.value(sum), "2328.60", "{sum}");
    }

    // Every day as SQLite itself adds it up, from the totals of the invoices.
    let path = open.data.join("sales/Chinook_Sqlite.sqlite");
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY | rusqlite::OpenFlags::SQLITE_OPEN_URI;
    let uri = format!("file:{}?immutable=1", path.display());
    let shop = rusqlite::Connection::open_with_flags(uri, flags).unwrap();
    let mut days = shop
        .prepare("select date(InvoiceDate), printf('%.2f', sum(Total)) from Invoice group by 1")
        .unwrap();
    let expected: BTreeMap<String, Value> = days
        .query_map([], |row| Ok((row.get(0)?, json!(row.get::<_, String>(1)?))))
        .unwrap()
        .map(|row| row.unwrap())
        .collect();
    let rows = open
        .project
        .query("select day, cast(revenue as string) as revenue from gold.sales_daily_metrics");
    let days = rows.iter().map(|row| (row["day"].as_str().unwrap().into(), row["revenue"].clone()));
    assert_eq!(days.collect::<BTreeMap<String, Value>>(), expected);
}

const POSTAL_CODES: &str = r#"
  - {id: delivery, use: csv, with: {path: OPEN/laposte/hexasmal-2020-semicolon.csv}}
  - {id: bronze, use: write_table, from: delivery, with: {table: bronze.postal_codes, mode: append, schema: freeze}}
"#;

/// The delivery of 2025 in the shape of 2020: what is called otherwise is renamed, what is new and
/// not wanted is left out.
const POSTAL_CODES_MAPPED: &str = r#"
  - {id: delivery, use: csv, with: {path: OPEN/laposte/datanova-2025-06-19.csv}}
  - id: mapped
    use: select
    from: delivery
    with:
      columns: [code_commune_insee, nom_de_la_commune, code_postal, ligne_5, libelle_d_acheminement, geopoint]
      rename: {nom_de_la_commune: nom_commune, geopoint: coordonnees_gps}
  - {id: bronze, use: write_table, from: mapped, with: {table: bronze.postal_codes, mode: append, schema: freeze}}
"#;

/// One row per commune. A commune has the postal codes of the last delivery that names it, or a
/// part of it: districts of the three big towns and former communes are named by their own code.
const COMMUNES: &str = r#"
  - {id: postal_codes, use: table, with: {table: bronze.postal_codes}}
  - {id: cog, use: csv, with: {path: OPEN/insee/communes.csv, read: all}}
  - {id: members, use: excel, with: {path: OPEN/insee/epcicom.xlsx, read: all}}
  - {id: counted, use: csv, with: {path: OPEN/insee/donnees_communes.csv, read: all}}
  - {id: epci, use: cast, from: members, with: {columns: {pmun_2024: integer}}}
  - {id: people, use: cast, from: counted, with: {columns: {pmun: integer}}}
  - id: parts
    use: sql
    from: cog
    with:
      query: |
        select com as part, com as commune from cog where typecom = 'COM'
        union all
        select com, comparent from cog
        where typecom <> 'COM' and com not in (select com from cog where typecom = 'COM')
  - id: delivered
    use: sql
    from: [postal_codes, parts]
    with:
      query: |
        select parts.commune, code_postal, regexp_match(_file, '20[0-9][0-9]')[1] as year
        from postal_codes join parts on parts.part = code_commune_insee
  - id: codes
    use: sql
    from: delivered
    with:
      query: |
        select commune, year, array_agg(distinct code_postal order by code_postal) as postal_codes
        from delivered
        group by commune, year
        qualify year = max(year) over (partition by commune)
  - id: communes
    use: sql
    from: [cog, codes, epci, people]
    with:
      query: |
        select
          cog.com as insee_code,
          cog.libelle as name,
          codes.postal_codes,
          codes.year as postal_codes_of,
          epci.siren as epci,
          epci.raison_sociale as epci_name,
          coalesce(epci.pmun_2024, people.pmun) as population
        from cog
        left join codes on codes.commune = cog.com
        left join epci on epci.insee = cog.com
        left join people on people.com = cog.com
        where cog.typecom = 'COM'
  - id: checked
    use: validate
    from: communes
    with:
      checks:
        - {unique: [insee_code], order_by: [insee_code], severity: fail}
        - {not_null: [insee_code, name, postal_codes, population], severity: fail}
        - {regex: {insee_code: "^([0-9]{2}|2[AB])[0-9]{3}$"}, severity: fail}
  - {id: reference, use: write_table, from: checked, with: {table: gold.communes, mode: overwrite}}
"#;

#[test]
fn b_communes_have_postal_codes_an_epci_and_a_population() {
    let Some(open) = Open::new() else { return };
    load_both_deliveries(&open);
    open.pipeline("communes", COMMUNES);
    open.project.ok(&["run"]);
    check_communes(&open);
}

fn load_both_deliveries(open: &Open) {
    open.pipeline("postal_codes", POSTAL_CODES);
    open.project.ok(&["run"]);
    assert_eq!(open.count("bronze.postal_codes"), 39_192, "records of the file of 2020");

    // The next delivery has another separator, other names, another order and three more columns.
    let renamed = POSTAL_CODES.replace("hexasmal-2020-semicolon", "datanova-2025-06-19");
    open.pipeline("postal_codes", &renamed);
    let problem = open.project.problem(&["run"]);
    assert_eq!(problem["code"], "schema_changed");
    assert_eq!(problem["context"]["node"], "bronze");
    let message = problem["message"].as_str().unwrap();
    for difference in ["`nom_de_la_commune` is new", "`nom_commune` is missing"] {
        assert!(message.contains(difference), "{message}");
    }
    let hint = problem["hint"].as_str().unwrap();
    assert!(hint.contains("select") && hint.contains("`schema`"), "{hint}");
    assert_eq!(open.count("bronze.postal_codes"), 39_192, "nothing of it is stored");

    open.pipeline("postal_codes", POSTAL_CODES_MAPPED);
    open.project.ok(&["run"]);
    assert_eq!(open.count("bronze.postal_codes"), 39_192 + 39_201, "both files");
    // 35 100 codes of communes in 2020 with 35 599 pairs of commune and postal code, 35 008 with
    // 35 513 in 2025; 35 623 different pairs in both.
    let pairs = "select count(*) from
        (select distinct code_commune_insee, code_postal from bronze.postal_codes)";
    assert_eq!(open.project.value(pairs), 35_623);
}

fn check_communes(open: &Open) {
    // INSEE lists 37 544 rows: 34 935 communes, 45 districts, 2 564 delegated and associated ones.
    // - All have postal codes: 34 871 from 2025; 64 that the file of 2025 does not have any more
    //   from 2020. 95 codes of the files belong to no commune of the list: the overseas
    //   territories (975 to 989), Monaco, and five that are gone.
    // - 35 420 pairs in all; 360 communes have several codes, Paris 21: one for each district,
    //   75016 and 75116 for the sixteenth.
    // - All are in one of the 1 255 EPCI but four islands, which the law lets stay alone.
    // - The workbook has the population of its 34 931 communes, 67 658 180 people; the islands'
    //   402 + 273 + 838 + 4 877 come from the file of INSEE.
    let all = open.project.query(
        "select count(*) as communes, count(distinct insee_code) as codes,
             sum(cardinality(postal_codes)) as pairs,
             count(*) filter (where cardinality(postal_codes) > 1) as several,
             count(*) filter (where postal_codes_of = '2020') as old,
             count(epci) as members, count(distinct epci) as epci, sum(population) as people
         from gold.communes",
    );
    let expected = json!({
        "communes": 34_935, "codes": 34_935, "pairs": 35_420, "several": 360, "old": 64,
        "members": 34_931, "epci": 1_255, "people": 67_664_570
    });
    assert_eq!(all, [expected]);
    let some = open.project.query(
        "select insee_code, name, postal_codes, epci, epci_name, population from gold.communes
         where insee_code in ('44109', '85113') order by insee_code",
    );
    let expected = [
        json!({
            "insee_code": "44109", "name": "Nantes",
            "postal_codes": ["44000", "44100", "44200", "44300"],
            "epci": "244400404", "epci_name": "Nantes Métropole", "population": 323_204
        }),
        json!({
            "insee_code": "85113", "name": "L'Île-d'Yeu", "postal_codes": ["85350"],
            "epci": null, "epci_name": null, "population": 4_877
        }),
    ];
    assert_eq!(some, expected);
    let towns = open.project.query(
        "select insee_code, cardinality(postal_codes) as n from gold.communes
         where insee_code in ('13055', '69123', '75056') order by insee_code",
    );
    assert_eq!(towns.iter().map(|row| row["n"].clone()).collect::<Vec<_>>(), [16, 9, 21]);
}

const ACTORS: &str = r#"
  - {id: delivery, use: json, with: {path: OPEN/osm/nantes_reuse_actors_2020-04-03.geojson}}
  - {id: stored, use: write_table, from: delivery, with: {table: silver.actors, mode: merge, key: [id]}}
"#;

/// The fields that a directory of shops shows: a tag may stand under `contact:` too.
const CHANGES: &str = r#"
  - {id: april, use: table, with: {table: silver.actors, version: 0}}
  - {id: may, use: table, with: {table: silver.actors}}
  - {id: tags, use: compare, from: {old: april, new: may}, with: {key: id, include_same: true}}
  - {id: write_tags, use: write_table, from: tags, with: {table: gold.changed_tags, mode: overwrite}}
  - {id: old_actors, use: derive, from: april, with: {columns: FIELDS}}
  - {id: new_actors, use: derive, from: may, with: {columns: FIELDS}}
  - id: fields
    use: compare
    from: {old: old_actors, new: new_actors}
    with: {key: id, columns: [point, label, phone_number, mail, site, hours, street, number]}
  - {id: write_fields, use: write_table, from: fields, with: {table: gold.changed_actors, mode: overwrite}}
"#;

const FIELDS: &str = r#"{
      point: geometry, label: name, hours: opening_hours,
      phone_number: "coalesce(contact_phone, phone)",
      mail: "coalesce(contact_email, email)",
      site: "coalesce(contact_website, website)",
      street: "coalesce(contact_street, addr_street)",
      number: "coalesce(contact_housenumber, addr_housenumber)"}"#;

#[test]
fn c_shops_on_the_map_change_from_april_to_may() {
    let Some(open) = Open::new() else { return };
    open.pipeline("actors", ACTORS);
    open.project.ok(&["run"]);
    assert_eq!(open.count("silver.actors"), 355);

    open.pipeline("actors", &ACTORS.replace("2020-04-03", "2020-05-03"));
    let run = open.project.ok(&["run"]);
    assert!(run.contains("67 updated") && run.contains("288 unchanged"), "{run}");
    assert!(run.contains("0 inserted") && run.contains("0 deleted"), "{run}");
    assert_eq!(open.count("silver.actors"), 355);
    // A tag that is gone is gone, and six tags that April did not know have become columns.
    let tags = open.project.query(
        "select count(highway) as highway, count(access_covid19) as access,
             count(drive_through_covid19) as drive_through, count(brand_website) as brand,
             count(delivery) as delivery, count(alt_name) as alt_name, count(chocolate) as chocolate
         from silver.actors",
    );
    let expected = json!({
        "highway": 0, "access": 9, "drive_through": 2, "brand": 2, "delivery": 1, "alt_name": 1,
        "chocolate": 1
    });
    assert_eq!(tags, [expected]);

    open.pipeline("changes", &CHANGES.replace("FIELDS", FIELDS));
    open.project.ok(&["run", "changes"]);
    let by_status = |table: &str| {
        let sql = format!("select status, count(*) as n from {table} group by 1 order by 1");
        open.project.query(&sql)
    };
    // 65 shops differ in a tag, six have moved, four of these are among the 65.
    let changed = |n: u64| json!({"status": "changed", "n": n});
    assert_eq!(by_status("gold.changed_tags"), [changed(67), json!({"status": "same", "n": 288})]);
    // The same shops as a comparison of the two files one by one, feature by feature.
    let ids = open.project.query("select id from gold.changed_tags where status = 'changed'");
    let mut ids: Vec<&str> = ids.iter().map(|row| row["id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    assert_eq!(ids, differing_features(&open));

    // 23 of them in what a directory shows; the other 44 in tags that it does not.
    assert_eq!(by_status("gold.changed_actors"), [changed(23)]);
    let columns = open.project.query(
        "select field, count(*) as n from (select unnest(changed) as field from gold.changed_actors)
         group by field order by n desc, field",
    );
    let expected = [
        ("phone_number", 12),
        ("hours", 8),
        ("point", 6),
        ("mail", 5),
        ("site", 4),
        ("label", 3),
        ("number", 1),
        ("street", 1),
    ];
    let expected = expected.map(|(field, n)| json!({"field": field, "n": n}));
    assert_eq!(columns, expected);
}

/// Ids of the features that are not equal in the two files.
fn differing_features(open: &Open) -> Vec<String> {
    let features = |day: &str| -> BTreeMap<String, Value> {
        let path = open.data.join(format!("osm/nantes_reuse_actors_2020-{day}.geojson"));
        let document: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        let features = document["features"].as_array().unwrap().iter();
        features.map(|f| (f["id"].as_str().unwrap().to_owned(), f.clone())).collect()
    };
    let (april, may) = (features("04-03"), features("05-03"));
    april.into_iter().filter(|(id, old)| may[id] != *old).map(|(id, _)| id).collect()
}

const MPOX: &str = r#"
  - {id: codes, use: csv, with: {path: OPEN/epidemic/country-codes.csv, read: all}}
  - {id: countries, use: select, from: codes, with: {columns: [cldr_display_name, iso3166_1_alpha_3, iso3166_1_alpha_2]}}
  - {id: bronze_countries, use: write_table, from: countries, with: {table: bronze.countries, mode: overwrite}}
  - {id: delivery, use: csv, with: {path: PATHS}}
  - {id: bronze, use: write_table, from: delivery, with: {table: bronze.mpox, mode: append}}
  - id: typed
    use: cast
    from: delivery
    with:
      columns: {date: date, new_cases: float, total_cases: float, new_deaths: float, total_deaths: float, new_cases_smoothed: float}
  - id: whole
    use: cast
    from: typed
    with: {columns: {new_cases: integer, total_cases: integer, new_deaths: integer, total_deaths: integer}}
  - {id: named, use: derive, from: whole, with: {columns: {country: location}}}
  - id: spelt
    use: map_values
    from: named
    with:
      column: country
      mapping:
        Bosnia and Herzegovina: Bosnia
        Democratic Republic of Congo: Congo - Kinshasa
        Turkey: Türkiye
        United Kingdom: UK
        United States: US
      others: keep
  - id: coded
    use: lookup
    from: {input: spelt, table: countries}
    with: {on: {country: cldr_display_name}, columns: {iso3166_1_alpha_3: iso3, iso3166_1_alpha_2: iso2}}
  - {id: latest, use: deduplicate, from: coded, with: {keys: [location, date], keep: last}}
  - {id: silver, use: write_table, from: latest, with: {table: silver.mpox, mode: merge, key: [location, date]}}
  - id: days
    use: sql
    from: silver
    with: {query: "select iso3, location as country, date as day, new_cases, total_cases, new_deaths from silver where iso3 is not null"}
  - {id: gold, use: write_table, from: days, with: {table: gold.mpox_country_days, mode: overwrite}}
"#;

#[test]
fn d_an_epidemic_has_a_row_per_country_and_day_and_the_unknown_stays_unknown() {
    let Some(open) = Open::new() else { return };
    open.pipeline("mpox", &MPOX.replace("PATHS", "OPEN/epidemic/owid-monkeypox-2022-08-11.csv"));
    open.project.ok(&["run"]);
    assert_eq!(open.count("bronze.mpox"), 3632);
    // `NA` is the code of Namibia, not a missing value.
    let namibia = "select iso3166_1_alpha_2 from bronze.countries where iso3166_1_alpha_3 = 'NAM'";
    assert_eq!(open.project.value(namibia), "NA");
    // Counts are published as `1.0`, which becomes 1; none is rejected.
    // 84 countries, and 97 days of the whole world, which has no code. Deaths are known on 122 of
    // the 3 632 rows (0 on 105 of these), 50 of them of countries.
    let silver = open.project.query(
        "select count(*) as rows, count(distinct location) as places, count(iso3) as coded,
             count(distinct iso3) as codes, count(new_deaths) as known,
             count(*) filter (where new_deaths = 0) as none,
             string_agg(distinct location, ', ') filter (where iso3 is null) as without_code
         from silver.mpox",
    );
    let expected = json!({
        "rows": 3632, "places": 85, "coded": 3535, "codes": 84, "known": 122, "none": 105,
        "without_code": "World"
    });
    assert_eq!(silver, [expected]);
    let gold = "select count(*) as rows, count(distinct iso3) as countries,
            sum(new_cases) as cases, count(new_deaths) as known from gold.mpox_country_days";
    // The countries add up to what the publisher gives for the world.
    let expected = json!({"rows": 3535, "countries": 84, "cases": 33_409, "known": 50});
    assert_eq!(open.project.query(gold), [expected]);
    let world = "select max(total_cases) from silver.mpox where location = 'World'";
    assert_eq!(open.project.value(world), 33_409);

    check_later_delivery(&open);
}

fn check_later_delivery(open: &Open) {
    let path = open.project.write("data/owid-monkeypox-later.csv", later_delivery(open));
    open.pipeline("mpox", &MPOX.replace("PATHS", path.to_str().unwrap()));
    open.project.ok(&["run"]);
    // Each place has one more day.
    assert_eq!(open.count("bronze.mpox"), 3632 + 3632 + 85);
    let silver = open.project.query(
        "select count(*) as rows, count(distinct location || date) as keys, count(note) as notes,
             count(new_cases) as known, count(new_cases_smoothed) as smoothed from silver.mpox",
    );
    // Andorra's figures are unknown now, as are those of the 85 new rows.
    let expected = json!({
        "rows": 3717, "keys": 3717, "notes": 3717, "known": 3632 - andorra_rows(open),
        "smoothed": 3632 - 426
    });
    assert_eq!(silver, [expected]);
    // France: ten more on each of its 83 days; 2 591 were there before.
    let france = "select sum(new_cases) from gold.mpox_country_days where iso3 = 'FRA'";
    assert_eq!(open.project.value(france), 2591 + 830);
    let bronze = "select count(note) from bronze.mpox";
    assert_eq!(open.project.value(bronze), 3717, "rows from before the column have none");
}

fn mpox(open: &Open) -> String {
    fs::read_to_string(open.data.join("epidemic/owid-monkeypox-2022-08-11.csv")).unwrap()
}

fn andorra_rows(open: &Open) -> u64 {
    mpox(open).lines().filter(|line| line.starts_with("Andorra,")).count() as u64
}

/// The publication as it comes later: one more column, France's cases of every day ten higher,
/// Andorra's taken back, and a new day on which nothing is known yet. No field is quoted.
fn later_delivery(open: &Open) -> String {
    let text = mpox(open);
    let mut lines = text.lines();
    let mut later = format!("{},note\n", lines.next().unwrap());
    let mut places: Vec<&str> = Vec::new();
    for line in lines {
        let place = line.split(',').next().unwrap();
        let mut fields: Vec<&str> = line.split(',').collect();
        let more = format!("{}", fields[2].parse::<f64>().unwrap() + 10.0);
        match place {
            "France" => fields[2] = &more,
            "Andorra" => fields[2] = "",
            _ => {}
        }
        if places.last() != Some(&place) {
            places.push(place);
        }
        later.push_str(&format!("{},revised\n", fields.join(",")));
    }
    for place in places {
        later.push_str(&format!("{place},2022-08-11{},new\n", ",".repeat(12)));
    }
    later
}
