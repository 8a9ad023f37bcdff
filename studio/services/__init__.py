"""One file an activity. Services join what is kept with what is computed; they start worker and host by module name."""
