package kafka

import (
	"fmt"
	"testing"

	kafkago "github.com/segmentio/kafka-go"
	"pgregory.net/rapid"
)

// Whoever joins and leaves: each partition has one worker, shares differ by one at most, and a
// partition moves only when its worker left or had more than its share.
func TestBalancerSharesEvenlyAndMovesLittle(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		partitions := rapid.IntRange(1, 24).Draw(t, "partitions")
		had := map[string][]int{}
		for step := range rapid.IntRange(1, 8).Draw(t, "steps") {
			for id := range had {
				if rapid.Bool().Draw(t, "leaves") {
					delete(had, id)
				}
			}
			for i := range rapid.IntRange(0, 4).Draw(t, "join") {
				had[fmt.Sprintf("%d-%d", step, i)] = nil
			}
			if len(had) == 0 {
				continue
			}
			var members []kafkago.GroupMember
			for id, ps := range had {
				b := &balancer{}
				var given []kafkago.PartitionAssignment
				for _, p := range ps {
					given = append(given, kafkago.PartitionAssignment{ID: p})
				}
				b.remember(given)
				data, err := b.UserData()
				if err != nil {
					t.Fatal(err)
				}
				members = append(members, kafkago.GroupMember{ID: id, UserData: data})
			}
			assigned := (&balancer{topic: "t", partitions: partitions}).AssignGroups(members, nil)
			least := partitions / len(members)
			owners := map[int]string{}
			for id, topics := range assigned {
				if n := len(topics["t"]); n < least || n > least+1 {
					t.Fatalf("%s has %d of %d partitions among %d members", id, n, partitions,
						len(members))
				}
				for _, p := range topics["t"] {
					if other, taken := owners[p]; taken {
						t.Fatalf("partition %d belongs to %s and %s", p, other, id)
					}
					owners[p] = id
				}
			}
			if len(owners) != partitions {
				t.Fatalf("%d of %d partitions are assigned", len(owners), partitions)
			}
			for id, before := range had {
				same := 0
				for _, p := range before {
					if owners[p] == id {
						same++
					}
				}
				if now := len(assigned[id]["t"]); same < min(len(before), now) {
					t.Fatalf("%s had %d partitions, has %d, and %d of them as before", id, len(before), now,
						same)
				}
			}
			for id := range had {
				had[id] = assigned[id]["t"]
			}
		}
	})
}

// What other members say they have may be anything.
func TestBalancerDistrustsMembers(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var members []kafkago.GroupMember
		for i := range rapid.IntRange(1, 5).Draw(t, "members") {
			members = append(members, kafkago.GroupMember{
				ID: fmt.Sprint(i), UserData: rapid.SliceOf(rapid.Byte()).Draw(t, "data"),
			})
		}
		owned := map[int]bool{}
		for _, topics := range (&balancer{topic: "t", partitions: 7}).AssignGroups(members, nil) {
			for _, p := range topics["t"] {
				owned[p] = true
			}
		}
		if len(owned) != 7 {
			t.Fatalf("%d of 7 partitions are assigned", len(owned))
		}
	})
}
