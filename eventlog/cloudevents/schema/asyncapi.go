package schema

import (
	"fmt"

	"github.com/danielgtaylor/huma/v2"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/catalog"
)

// The names of the topics, as they are by default.
const (
	topic       = "schoolbell.events"
	inbox       = "schoolbell.inbox"
	deadLetters = "schoolbell.deadletters"
)

type document = map[string]any

// AsyncAPI returns the AsyncAPI 3.0 document of what is in Kafka: the inbox that other systems write
// to, the dead letters of what is refused there, and the log, which Schoolbell writes.
func AsyncAPI(version string) ([]byte, error) {
	messages, channel, taken := document{}, document{}, document{}
	var from, by []any
	for _, f := range catalog.Facts() {
		name := messageName(f)
		messages[name] = message(f)
		channel[name] = ref("#/components/messages/" + name)
		inChannel := ref("#/channels/events/messages/" + name)
		by = append(by, inChannel)
		if !f.Reserved {
			taken[name] = ref("#/components/messages/" + name)
			from = append(from, ref("#/channels/inbox/messages/"+name))
		}
	}
	return indented(document{
		"asyncapi": "3.0.0",
		"info": document{
			"title": "Schoolbell's log", "version": version,
			"description": "Other systems write CloudEvents 1.0 to the inbox, in binary or structured mode, with any " +
				"client, partitioner, compression, and transactions or none. The record's key is the school, or the event " +
				"has the extension school. What is valid enters the log, what is refused the dead letters.",
			"license": document{
				"name": "Apache 2.0",
				"url":  "https://www.apache.org/licenses/LICENSE-2.0",
			},
		},
		"defaultContentType": "application/json",
		"servers": document{"kafka": document{
			"host": "{brokers}", "protocol": "kafka",
			"description": "The cluster that --kafka-brokers names; serve prints the address of the embedded one.",
			"variables":   document{"brokers": document{"default": "localhost:9092"}},
		}},
		"channels": document{
			"inbox":       kafkaChannel(inbox, "What other systems write", taken),
			"events":      kafkaChannel(topic, "The log, which Schoolbell alone writes", channel),
			"deadletters": kafkaChannel(deadLetters, "What the inbox refused", document{"refused": refused()}),
		},
		"operations": document{
			"takeEvents": document{
				"action": "receive", "channel": ref("#/channels/inbox"), "messages": from,
				"summary": "Schoolbell reads what was committed, checks it and appends it to the log.",
			},
			"refuseRecords": document{
				"action": "send", "channel": ref("#/channels/deadletters"),
				"messages": []any{ref("#/channels/deadletters/messages/refused")},
				"summary":  "Schoolbell publishes records that it refused, with what is wrong with them.",
			},
			"writeEvents": document{
				"action": "send", "channel": ref("#/channels/events"), "messages": by,
				"summary": "Schoolbell writes every event of every school, in binary mode. Producers may not.",
			},
		},
		"components": document{
			"messages": messages,
			"schemas":  document{"headers": headers()},
		},
	})
}

func kafkaChannel(address, title string, messages document) document {
	return document{
		"address": address, "title": title, "messages": messages,
		"servers":  []any{ref("#/servers/kafka")},
		"bindings": document{"kafka": document{"topic": address, "bindingVersion": "0.5.0"}},
	}
}

// refused is a dead letter: a record as it was, and what is wrong with it.
func refused() document {
	text := func(description string) document {
		return document{"type": "string", "description": description}
	}
	return document{
		"name": "refused", "title": "A record that was refused", "contentType": "application/octet-stream",
		"summary": "The original key, value and headers, and headers of Schoolbell's own.",
		"headers": document{"type": "object", "properties": document{
			"schoolbell_faults":    text("A list of pointer and reason, as JSON."),
			"schoolbell_topic":     text("The inbox."),
			"schoolbell_partition": text("Its partition."),
			"schoolbell_offset":    text("The record's offset there."),
		}},
	}
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
