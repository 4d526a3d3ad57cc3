package schema

import (
	"fmt"

	"github.com/danielgtaylor/huma/v2"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/catalog"
)

// topic is the name of the log in Kafka.
const topic = "schoolbell.events"

type document = map[string]any

// AsyncAPI returns the AsyncAPI 3.0 document of the log: its channel, what may be written to it and
// what Schoolbell writes itself.
func AsyncAPI(version string) ([]byte, error) {
	messages, channel := document{}, document{}
	var from, by []any
	for _, f := range catalog.Facts() {
		name := messageName(f)
		messages[name] = message(f)
		channel[name] = ref("#/components/messages/" + name)
		inChannel := ref("#/channels/events/messages/" + name)
		if f.Reserved {
			by = append(by, inChannel)
		} else {
			from = append(from, inChannel)
		}
	}
	return indented(document{
		"asyncapi": "3.0.0",
		"info": document{
			"title": "Schoolbell's log", "version": version,
			"description": "Every event of every school, in Kafka, as CloudEvents 1.0 in binary content mode. The record's key is the school, " +
				"and the partition is murmur2(key) modulo the number of partitions, as the standard clients choose it.",
			"license": document{
				"name": "Apache 2.0",
				"url":  "https://www.apache.org/licenses/LICENSE-2.0",
			},
		},
		"defaultContentType": "application/json",
		"channels": document{"events": document{
			"address": topic, "title": "The log", "messages": channel,
			"bindings": document{"kafka": document{"topic": topic, "bindingVersion": "0.5.0"}},
		}},
		"operations": document{
			"takeEvents": document{
				"action": "receive", "channel": ref("#/channels/events"), "messages": from,
				"summary": "Schoolbell folds what producers publish.",
			},
			"writeOutcomes": document{
				"action": "send", "channel": ref("#/channels/events"), "messages": by,
				"summary": "Schoolbell publishes what became of its own work. Producers may not.",
			},
		},
		"components": document{
			"messages": messages,
			"schemas":  document{"headers": headers()},
		},
	})
}

func ref(to string) document { return document{"$ref": to} }

// messageName is "student.enrolled.v1".
func messageName(f domain.Fact) string {
	context, fact, version := f.Name()
	return fmt.Sprintf("%s.%s.v%d", context, fact, version)
}

func message(f domain.Fact) document {
	m := document{
		"name": f.Type, "title": messageName(f), "summary": f.Doc, "contentType": "application/json",
		"headers": ref("#/components/schemas/headers"),
		"payload": Data(f),
		"bindings": document{
			"kafka": document{
				"key":            document{"type": "string", "description": "The school."},
				"bindingVersion": "0.5.0",
			},
		},
	}
	if f.Upcast != nil {
		m["description"] = "An older version: it is read, but new producers should write the newest."
	}
	return m
}

// headers describes the CloudEvents attributes as Kafka headers.
func headers() *huma.Schema {
	event := attributes()
	s := &huma.Schema{Type: huma.TypeObject, Properties: map[string]*huma.Schema{
		"content-type": {Type: huma.TypeString, Enum: []any{"application/json"}},
		"ce_type":      {Type: huma.TypeString, Description: "The message's name."},
	}}
	for name, property := range event.Properties {
		s.Properties["ce_"+name] = property
	}
	s.Required = []string{"ce_specversion", "ce_id", "ce_source", "ce_type"}
	return s
}
