// The flow table of one worker: key → slot and direction.
#pragma once

#include "dataplane/lookup/key_table.hh"
#include "dataplane/lookup/stored_keys.hh"

namespace sluice {

using FlowTable = KeyTable<StoredKeys>;

}  // namespace sluice
