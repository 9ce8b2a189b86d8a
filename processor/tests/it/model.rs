//! Every step × every way to die × every other code × every fault, twice over: one verdict an offset, views equal rows.

use crate::world::{Code, Death, Mutant, Process, STREAM, Table, World};
use weir_clickhouse::OffsetRange;
use weir_processor::exactly_once::Mark;

/// Something that happens to the world between a death and the next process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// The deduplication windows rolled past the range.
    WindowRolled,
    /// An offset-only commit cleared the intent.
    IntentCleared,
    /// A live non-owner committed an older position.
    CommittedBackward,
    /// Kafka deleted the first records.
    RecordsExpired,
    /// An hour and more passes.
    TimePasses,
    /// The next insert finds a view that fails.
    ViewFails(Table),
    /// A view fails again and again, while the windows roll.
    ViewKeepsFailing,
    /// Two offsets are control records.
    Absent,
    /// The engine cannot read the row of an offset.
    Unreadable,
}

const FAULTS: [Fault; 11] = [
    Fault::None,
    Fault::WindowRolled,
    Fault::IntentCleared,
    Fault::CommittedBackward,
    Fault::RecordsExpired,
    Fault::TimePasses,
    Fault::ViewFails(Table::ViewA),
    Fault::ViewFails(Table::ViewB),
    Fault::ViewKeepsFailing,
    Fault::Absent,
    Fault::Unreadable,
];
const DEATHS: [Death; 3] = [Death::Before, Death::After, Death::Late];
const CODES: [Code; 3] = [Code::A, Code::B, Code::Strict];
/// More than the steps of a whole run without a death.
const STEPS: usize = 22;
const REPLAY_STEPS: usize = 20;

fn strike(world: &mut World, fault: Fault) {
    match fault {
        Fault::None => {}
        Fault::WindowRolled => world.forget_tokens(),
        Fault::IntentCleared => {
            if let Some((_, text)) = &mut world.committed {
                text.clear();
            }
        }
        Fault::CommittedBackward => {
            world.committed = world
                .committed
                .take()
                .map(|(offset, _)| ((offset - 2).max(0), String::new()));
        }
        Fault::RecordsExpired => world.log_start = 2,
        Fault::TimePasses => world.now_ms += 2 * 3_600_000,
        Fault::ViewFails(view) => world.failing_view = Some(view),
        Fault::ViewKeepsFailing => {
            world.failing_view = Some(Table::ViewB);
            world.stubborn = 3;
        }
        Fault::Absent => world.absent = vec![1, 4],
        Fault::Unreadable => world.unreadable = vec![2, 5],
    }
}

/// Runs a process until it is done, or dies at the given step.
fn run(
    world: &mut World,
    process: &mut Process,
    death: Option<(usize, Death)>,
) -> Result<(), String> {
    for step in 0..200 {
        if process.is_done(world) {
            return Ok(());
        }
        let dies = death.filter(|(at, _)| *at == step).map(|(_, how)| how);
        process.step(world, dies);
        if dies.is_some() {
            return Ok(());
        }
    }
    Err(format!("no end: {:?}", process.machine))
}

/// What must hold at the end.
fn check(world: &mut World) -> Result<(), String> {
    let late = std::mem::take(&mut world.late);
    for insert in &late {
        world.apply(insert);
    }
    let mut verdicts: Vec<i64> = [Table::Events, Table::Failed]
        .iter()
        .filter_map(|table| world.rows.get(table))
        .flatten()
        .copied()
        .collect();
    verdicts.sort_unstable();
    let mut single = verdicts.clone();
    single.dedup();
    if single != verdicts {
        return Err(format!("offsets with two verdicts: {verdicts:?}"));
    }

    world.ledger.sort_by_key(|row| row.range);
    // A stream that nobody read yet begins where its log begins.
    let mut next = world.ledger.first().map_or(0, |row| row.range.first);
    if next != 0 && next != world.log_start {
        return Err(format!("the ledger begins at {next}"));
    }
    for row in &world.ledger {
        if row.range.first != next {
            return Err(format!("the ledger does not tile: {:?}", world.ledger));
        }
        next = row.range.last + 1;
        let held = |table: Table| {
            world.rows.get(&table).map_or(0, |rows| {
                rows.iter()
                    .filter(|o| (row.range.first..=row.range.last).contains(*o))
                    .count() as u64
            })
        };
        let counted = (held(Table::Events), held(Table::Failed));
        if counted != (row.events, row.failed) {
            return Err(format!("{row:?}, but the tables hold {counted:?}"));
        }
        if row.events + row.failed + row.lost + row.absent != row.range.offsets() {
            return Err(format!("{row:?} does not account for its range"));
        }
    }
    if next != world.log_end {
        return Err(format!("the ledger ends at {next} of {}", world.log_end));
    }
    check_views(world)
}

/// Views equal the rows, but for the buckets queued for repair.
fn check_views(world: &World) -> Result<(), String> {
    let kept = |table: Table| {
        let mut offsets: Vec<i64> = world
            .rows
            .get(&table)
            .into_iter()
            .flatten()
            .copied()
            .filter(|offset| {
                !world
                    .repairs
                    .iter()
                    .any(|range| (range.first..=range.last).contains(offset))
            })
            .collect();
        offsets.sort_unstable();
        offsets
    };
    for view in [Table::ViewA, Table::ViewB] {
        if kept(view) != kept(Table::Events) {
            return Err(format!(
                "{view:?} holds {:?}, events {:?}, queued for repair {:?}",
                world.rows.get(&view),
                world.rows.get(&Table::Events),
                world.repairs
            ));
        }
    }
    Ok(())
}

/// A process dies, a fault strikes, another dies, a third ends the work.
fn two_deaths(
    mutant: Mutant,
    first: (usize, Death),
    second: Option<(usize, Death)>,
    code: Code,
    fault: Fault,
) -> Result<(), String> {
    let mut world = World::new(mutant);
    if matches!(
        fault,
        Fault::Absent | Fault::Unreadable | Fault::ViewFails(_)
    ) {
        strike(&mut world, fault);
    }
    let mut process = Process::new(&mut world, Code::A);
    run(&mut world, &mut process, Some(first))?;
    if !matches!(fault, Fault::Absent | Fault::Unreadable) {
        strike(&mut world, fault);
    }
    let mut process = Process::new(&mut world, code);
    run(&mut world, &mut process, second)?;
    let mut process = Process::new(&mut world, Code::A);
    run(&mut world, &mut process, None)?;
    if process.stopped {
        return Err(format!("stopped: {:?}", process.machine));
    }
    check(&mut world)
}

fn every_schedule(mutant: Mutant) -> Result<usize, String> {
    let mut schedules = 0;
    for fault in FAULTS {
        for code in CODES {
            for at in 0..STEPS {
                for death in DEATHS {
                    let seconds = (0..REPLAY_STEPS)
                        .flat_map(|at| DEATHS.map(|death| Some((at, death))))
                        .chain([None]);
                    for second in seconds {
                        schedules += 1;
                        two_deaths(mutant, (at, death), second, code, fault).map_err(|error| {
                            format!("{fault:?}, {death:?} at step {at}, then code {code:?}, then {second:?}: {error}")
                        })?;
                    }
                }
            }
        }
    }
    Ok(schedules)
}

#[test]
fn every_offset_gets_one_verdict_through_any_two_deaths() {
    match every_schedule(Mutant::None) {
        Ok(schedules) => println!("{schedules} schedules"),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_run_without_deaths_takes_fewer_steps_than_the_model_kills_at() {
    let mut world = World::new(Mutant::None);
    let mut process = Process::new(&mut world, Code::A);
    let mut steps = 0;
    while !process.is_done(&world) {
        process.step(&mut world, None);
        steps += 1;
    }
    assert!(steps <= STEPS, "{steps} steps");
    check(&mut world).unwrap();
}

#[test]
fn inserts_without_a_token_are_caught() {
    every_schedule(Mutant::NoToken).unwrap_err();
}

#[test]
fn a_commit_before_the_insert_is_caught() {
    every_schedule(Mutant::CommitBeforeInsert).unwrap_err();
}

#[test]
fn a_replay_that_does_not_look_is_caught() {
    every_schedule(Mutant::NoReadBack).unwrap_err();
}

#[test]
fn a_replay_that_does_not_let_its_predecessor_settle_is_caught() {
    every_schedule(Mutant::NoSettling).unwrap_err();
}

/// A process freezes at a step, a successor works, then the frozen one wakes and goes on until it is refused.
fn zombie(mutant: Mutant, freezes_at: usize, frozen_ms: i64, code: Code) -> Result<(), String> {
    let mut world = World::new(mutant);
    let mut sleeper = Process::new(&mut world, Code::A);
    for _ in 0..freezes_at {
        if sleeper.is_done(&world) {
            return Ok(());
        }
        sleeper.step(&mut world, None);
    }
    world.now_ms += frozen_ms;
    let mut successor = Process::new(&mut world, code);
    run(&mut world, &mut successor, None)?;
    // The window may have rolled while the sleeper was frozen.
    world.forget_tokens();
    for _ in 0..10 {
        if !sleeper.is_done(&world) {
            sleeper.step(&mut world, None);
        }
    }
    world.log_end += 3;
    let mut last = Process::new(&mut world, code);
    run(&mut world, &mut last, None)?;
    if last.stopped {
        return Err(format!("stopped: {:?}", last.machine));
    }
    check(&mut world)
}

fn every_zombie(mutant: Mutant) -> Result<(), String> {
    for code in CODES {
        for at in 0..STEPS {
            zombie(mutant, at, 60_000, code)
                .map_err(|error| format!("frozen at step {at}, successor {code:?}: {error}"))?;
        }
    }
    Ok(())
}

#[test]
fn a_frozen_process_that_wakes_changes_nothing() {
    every_zombie(Mutant::None).unwrap();
}

#[test]
fn a_process_without_an_epoch_is_caught() {
    every_zombie(Mutant::NoEpoch).unwrap_err();
}

#[test]
fn a_commit_beyond_the_ledger_stops_the_partition() {
    let mut world = World::new(Mutant::None);
    world.committed = Some((4, Mark::Position { stream: STREAM }.to_metadata().unwrap()));
    let mut process = Process::new(&mut world, Code::A);
    run(&mut world, &mut process, None).unwrap();
    assert!(process.stopped);
    assert!(world.rows.is_empty());
}

#[test]
fn expired_records_of_a_settled_partition_are_accounted_as_lost() {
    let mut world = World::new(Mutant::None);
    let mut process = Process::new(&mut world, Code::A);
    run(&mut world, &mut process, None).unwrap();
    world.log_end = 20;
    world.log_start = 10;
    let mut process = Process::new(&mut world, Code::A);
    run(&mut world, &mut process, None).unwrap();
    check(&mut world).unwrap();
    let lost = OffsetRange { first: 6, last: 9 };
    assert!(
        world
            .ledger
            .iter()
            .any(|row| row.range == lost && row.lost == 4)
    );
}
