use std::io::Read;

use super::{BlockReader, BlockWriter};
use crate::exception::Exception;

fn pack(data: &[u8]) -> Vec<u8> {
    let mut writer = BlockWriter::default();
    let mut packed = Vec::new();
    for piece in data.chunks(70_001) {
        writer.write(piece, &mut packed);
    }
    writer.flush(&mut packed);
    packed
}

fn unpack(packed: &[u8]) -> Result<Vec<u8>, i32> {
    let mut data = Vec::new();
    match BlockReader::new(packed).read_to_end(&mut data) {
        Ok(_) => Ok(data),
        Err(error) => Err(error.downcast::<Exception>().unwrap().code),
    }
}

#[test]
fn blocks_survive_the_round_trip() {
    for size in [0, 1, 1 << 20, (1 << 20) + 1, 3_000_000] {
        let data: Vec<u8> = (0..size).map(|at: u32| (at / 7) as u8).collect();
        assert_eq!(unpack(&pack(&data)), Ok(data), "{size} bytes");
    }
}

#[test]
fn damage_is_noticed() {
    let packed = pack(b"some rows of data");
    for at in 0..packed.len() {
        let mut damaged = packed.clone();
        damaged[at] ^= 1;
        assert!(unpack(&damaged).is_err(), "byte {at}");
    }
    let mut damaged = packed.clone();
    *damaged.last_mut().unwrap() ^= 0x40;
    assert_eq!(unpack(&damaged), Err(40));
    for end in 1..packed.len() {
        assert_eq!(unpack(&packed[..end]), Err(33), "cut at {end}");
    }
}
