package main

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/realtime/realtimetest/swarm"
)

// TestATeacherOfASectionHearsItsStudents has a teacher without a home class. Of the students of two
// home classes, one each is in the teacher's section.
func TestATeacherOfASectionHearsItsStudents(t *testing.T) {
	t.Parallel()
	a := startApp(t, nil)
	const school = "north"
	a.startPosition(t, school)
	since := domain.DateOf(time.Now()).AddDays(-30).String()
	enrol := func(id, home string) map[string]any {
		return event(school, "enrolled-"+id, "schoolbell.student.enrolled.v1", id, map[string]any{
			"student_id": id, "given_name": id, "family_name": "Alves", "class_id": home, "on": since,
		})
	}
	join := func(person, role string) map[string]any {
		return event(school, "joined-"+person, "schoolbell.membership.started.v1", person,
			map[string]any{
				"membership_id": "art-" + person, "class_id": "art", "person_id": person,
				"role": role, "from": since,
			})
	}
	at := parsed(t, a.publish(t, school,
		enrol("ana", "7a"), enrol("ben", "7b"), enrol("cia", "7a"),
		event(school, "art", "schoolbell.class.defined.v1", "art", map[string]any{
			"class_id": "art", "title": "Art 7", "kind": "section",
		}),
		event(school, "may", "schoolbell.staff.assigned.v1", "may", map[string]any{
			"staff_id": "may", "name": "May Kay", "role": "teacher", "class_ids": []string{},
		}),
		join("ana", "student"), join("ben", "student"), join("may", "teacher")))

	may := bearer(t, school, "may", "teacher", time.Hour)
	asTeacher := &app{Address: a.Address, token: may}
	var art struct {
		Title   string `json:"title"`
		Members []struct {
			StudentID   string `json:"student_id"`
			HomeClassID string `json:"home_class_id"`
		} `json:"members"`
		Staff []struct {
			StaffID string `json:"staff_id"`
		} `json:"staff"`
	}
	asTeacher.get(t, "/v1/schools/"+school+"/classes/art", at.String(), &art)
	require.Equal(t, "Art 7", art.Title)
	require.Len(t, art.Members, 2)
	homes := map[string]string{}
	for _, m := range art.Members {
		homes[m.StudentID] = m.HomeClassID
	}
	require.Equal(t, map[string]string{"ana": "7a", "ben": "7b"}, homes)
	require.Len(t, art.Staff, 1)
	require.Equal(t, "may", art.Staff[0].StaffID)

	listen := func(kind swarm.Kind, room string) *swarm.Client {
		c := &swarm.Client{
			Kind: kind, URL: a.HTTP, Token: may, School: school, Room: room, From: at,
			Once: true,
		}
		connect(t, c)
		require.Eventually(t, func() bool {
			return c.State().Connects > 0 || len(c.State().Ends) > 0
		}, time.Minute, time.Millisecond, room)
		return c
	}
	var elsewhere []*swarm.Client // they come back, to what has become of their room
	for _, room := range []string{"class:7a", "class:7b", "student:cia"} {
		resp, _ := asTeacher.call(t, http.MethodGet,
			a.HTTP+"/v1/schools/"+school+"/stream?rooms="+room, "")
		require.Equal(t, http.StatusForbidden, resp.StatusCode, room)
		elsewhere = append(elsewhere, listen(swarm.SSE, room))
	}
	rooms := map[string]*swarm.Client{}
	for i, room := range []string{"class:art", "student:ana", "student:ben"} {
		rooms[room] = listen(swarm.Kinds[i%len(swarm.Kinds)], room)
		require.Empty(t, rooms[room].State().Ends, room)
	}
	absent := func(id, home string) map[string]any {
		return event(school, "absent-"+id, "schoolbell.attendance.marked.v1", id, map[string]any{
			"student_id": id, "class_id": home, "date": since, "session": "day",
			"status": "absent_unexcused",
		})
	}
	// What the teacher must not hear comes first: it would arrive before what is waited for.
	last := parsed(t, a.publish(t, school, absent("cia", "7a"),
		notice(school, "of-7a", "7a"), notice(school, "of-7b", "7b"),
		absent("ana", "7a"), absent("ben", "7b"), notice(school, "of-art", "art")))
	for room, want := range map[string]int64{
		"student:ana": last.Offset - 2, "student:ben": last.Offset - 1, "class:art": last.Offset,
	} {
		requireReceives(t, rooms[room], want)
		require.Equal(t, []int64{want}, rooms[room].State().Offsets, room)
	}
	for _, c := range elsewhere {
		require.Empty(t, c.State().Offsets, c.Room)
	}
}
