use super::*;

fn files(names: &[&str]) -> Vec<(String, String)> {
    names
        .iter()
        .map(|name| ((*name).to_owned(), "SELECT 1".to_owned()))
        .collect()
}

fn applied_as(migration: &Migration) -> Applied {
    Applied {
        version: migration.version,
        name: migration.name.clone(),
        checksum: migration.checksum.clone(),
        applied_at_ms: 1,
    }
}

#[test]
fn embedded_migrations_are_numbered_and_render_for_both_topologies() {
    let migrations = Migrations::embedded().unwrap();
    assert!(migrations.list().len() >= 8);
    for migration in migrations.list() {
        for topology in [
            Topology::SingleNode,
            Topology::Cluster {
                name: "main".into(),
            },
        ] {
            let statements = migration.statements(&topology).unwrap();
            assert!(
                !statements.is_empty(),
                "{} has no statement",
                migration.name
            );
        }
    }
}

#[test]
fn a_missing_number_is_refused() {
    let error = Migrations::new(files(&["0001_a.sql", "0003_c.sql"])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "migration files: expected number 0002, found 0003_c"
    );
    assert!(Migrations::new(files(&["0001_a.sql", "0001_b.sql"])).is_err());
}

#[test]
fn a_file_of_another_name_is_refused() {
    for name in ["a.sql", "1_a.sql", "0001.sql", "0001_a.txt", "000x_a.sql"] {
        assert!(Migrations::new(files(&[name])).is_err(), "{name}");
    }
}

#[test]
fn a_changed_file_is_refused() {
    let migrations = Migrations::new(files(&["0001_a.sql"])).unwrap();
    let mut applied = applied_as(&migrations.list()[0]);
    applied.checksum = "other".into();
    assert!(matches!(
        compare(&migrations, vec![applied]),
        Err(MigrateError::Changed { version: 1, .. })
    ));
}

#[test]
fn a_database_ahead_of_the_binary_is_refused() {
    let migrations = Migrations::new(files(&["0001_a.sql", "0002_b.sql"])).unwrap();
    let applied = migrations.list().iter().map(applied_as).collect();
    let older = Migrations::new(files(&["0001_a.sql"])).unwrap();
    assert!(matches!(
        compare(&older, applied),
        Err(MigrateError::Ahead { version: 2, .. })
    ));
}

#[test]
fn a_history_with_a_gap_is_refused() {
    let migrations = Migrations::new(files(&["0001_a.sql", "0002_b.sql"])).unwrap();
    let applied = vec![applied_as(&migrations.list()[1])];
    assert!(matches!(
        compare(&migrations, applied),
        Err(MigrateError::Gap {
            version: 1,
            later: 2
        })
    ));
}
