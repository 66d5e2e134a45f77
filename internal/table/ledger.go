// SPDX-License-Identifier: Apache-2.0

package table

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

const noPreallocation = unix.BPF_F_NO_PREALLOC

// store is a map as user space changes it.
type store interface {
	LookupBytes(key any) ([]byte, error)
	Update(key, value any, flags ebpf.MapUpdateFlags) error
	Delete(key any) error
}

// ledger moves counts out of rows that nobody adds to any more. The archive has
// what was moved. The journal says what is being moved, in absolute numbers: if
// a move is interrupted at any point, the next reader takes it as done, and does
// the rest of it. Both maps are user space's alone, and are pinned with the rows.
type ledger struct {
	archived *raw
	moved    map[place]entry // what the archive has
	journal  *journal
	rows     store
	archive  store
	pages    store // of the journal
}

// entry is what the archive has of a place.
type entry struct {
	words []uint64
	seen  uint64 // when it last may have counted, in nanoseconds since boot
}

// source is where counts move from.
type source uint64

const (
	nowhere source = iota
	fromRows
	fromArchive
)

// intent is a move: the key that goes, and what the archive has then.
type intent struct {
	from source
	key  []byte // of a row, or of the archive
	to   place
	then entry
}

// journal is the one value of its map.
type journal struct {
	intent     intent
	generation generation
	crowding   crowding
	written    []byte
}

// generation is the present one.
type generation struct {
	number  uint64
	began   uint64 // when, in nanoseconds since boot
	refused uint64 // what had found no room until then, but for the next
	shares  uint64 // what had found no room in a share until then
	left    uint64 // rows that were added in it and are not there any more
}

func archiveKey(p place) []byte {
	return append(binary.NativeEndian.AppendUint32(nil, uint32(p.kind)), p.key...)
}

func placeOf(archiveKey []byte) place {
	return place{kind(binary.NativeEndian.Uint32(archiveKey)), string(archiveKey[4:])}
}

func (e entry) value() []byte {
	var value []byte
	for _, w := range append(slices.Clone(e.words), e.seen) {
		value = binary.NativeEndian.AppendUint64(value, w)
	}
	return value
}

func entryOf(value []uint64) entry {
	last := len(value) - 1
	return entry{slices.Clone(value[:last]), value[last]}
}

// journalWords are those before the keys: the members of journal, and the source.
const journalWords = 8

// journalSize returns the size of the journal's value, for keys of so many bytes
// and values of the archive of so many words. Both keys have room for that of the
// archive.
func journalSize(key, words int) int { return 8*journalWords + 2*padded(4+key) + 8*words }

func padded(n int) int { return (n + 7) / 8 * 8 }

func (j *journal) value(size int) []byte {
	value, g := make([]byte, 0, size), j.generation
	for _, w := range []uint64{uint64(j.intent.from), g.number, g.began, g.refused, g.shares, g.left, j.crowding.lost, j.crowding.last} {
		value = binary.NativeEndian.AppendUint64(value, w)
	}
	if j.intent.from == nowhere {
		return value[:size]
	}
	to := archiveKey(j.intent.to)
	key := padded(len(to))
	value = append(value, append(to, make([]byte, key-len(to))...)...)
	value = append(value, append(slices.Clone(j.intent.key), make([]byte, key-len(j.intent.key))...)...)
	return append(value, j.intent.then.value()...)
}

// parse reads the value for keys of so many bytes.
func (j *journal) parse(value []byte, key int) {
	*j = journal{written: value}
	words := make([]uint64, journalWords)
	for i := range words {
		words[i] = binary.NativeEndian.Uint64(value[8*i:])
	}
	j.intent.from = source(words[0])
	j.generation = generation{words[1], words[2], words[3], words[4], words[5]}
	j.crowding = crowding{words[6], words[7]}
	if j.intent.from == nowhere {
		return
	}
	value = value[8*journalWords:]
	j.intent.to = placeOf(value[:4+key])
	value = value[padded(4+key):]
	j.intent.key = value[:key]
	if j.intent.from == fromArchive {
		j.intent.key = value[:4+key]
	}
	var then []uint64
	for value = value[padded(4+key):]; len(value) > 0; value = value[8:] {
		then = append(then, binary.NativeEndian.Uint64(value))
	}
	j.intent.then = entryOf(then)
}

// newLedger returns the ledger of rows, in its two maps.
func newLedger(rows, archive, pages *ebpf.Map) (*ledger, error) {
	if archive == nil || pages == nil {
		return nil, errors.New("there is no archive, or no journal")
	}
	archived, err := newRaw(archive)
	if err != nil {
		return nil, err
	}
	return &ledger{archived: archived, journal: new(journal), rows: rows, archive: archive, pages: pages}, nil
}

// load reads the archive and the journal. A move that was interrupted counts as
// done: its source is returned, for the reader to pass over.
func (l *ledger) load() (passOver []byte, err error) {
	rows, err := l.archived.rows()
	if err != nil {
		return nil, err
	}
	value, err := l.pages.LookupBytes(uint32(0))
	if err != nil {
		return nil, fmt.Errorf("reading the journal: %w", err)
	}
	l.moved = make(map[place]entry, len(rows))
	key := int(l.archived.m.KeySize()) - 4
	for _, r := range rows {
		l.moved[placeOf(r.key)] = entryOf(r.words)
	}
	l.journal.parse(value, key)
	move := &l.journal.intent
	switch move.from {
	case fromRows:
		passOver = move.key
	case fromArchive:
		delete(l.moved, placeOf(move.key))
	default:
		return nil, nil
	}
	l.moved[move.to] = move.then
	return passOver, nil
}

// move moves what a source has to a place. It says whether the source counts as
// moved, which is true of some moves that fail: these are done by the next reader.
func (l *ledger) move(from source, key []byte, what entry, to place) (moved bool, err error) {
	then := entry{slices.Clone(what.words), what.seen}
	if at, ok := l.moved[to]; ok {
		for i, n := range at.words {
			then.words[i] += n
		}
		then.seen = max(then.seen, at.seen)
	}
	l.journal.intent = intent{from, key, to, then}
	if err := l.write(); err != nil {
		return false, err
	}
	return l.carryOut()
}

// carryOut does the move that the journal says.
func (l *ledger) carryOut() (moved bool, err error) {
	move := l.journal.intent
	if err := l.archive.Update(archiveKey(move.to), move.then.value(), ebpf.UpdateAny); err != nil {
		return false, fmt.Errorf("moving counts to %v: %w", l.archived.m, err)
	}
	l.moved[move.to] = move.then
	rows := l.rows
	if move.from == fromArchive {
		delete(l.moved, placeOf(move.key))
		rows = l.archive
	}
	if err := rows.Delete(move.key); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return true, fmt.Errorf("giving up a row: %w", err)
	}
	return true, nil
}

// resume does the rest of a move that was interrupted.
func (l *ledger) resume() error {
	if l.journal.intent.from == nowhere {
		return nil
	}
	if _, err := l.carryOut(); err != nil {
		return err
	}
	return l.close()
}

// close notes that no move is under way.
func (l *ledger) close() error {
	l.journal.intent = intent{}
	return l.write()
}

// write writes the journal, if it says something new.
func (l *ledger) write() error {
	value := l.journal.value(len(l.journal.written))
	if slices.Equal(value, l.journal.written) {
		return nil
	}
	if err := l.pages.Update(uint32(0), value, ebpf.UpdateAny); err != nil {
		return fmt.Errorf("writing the journal: %w", err)
	}
	l.journal.written = value
	return nil
}
