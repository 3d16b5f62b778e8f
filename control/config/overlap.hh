// Address ranges of a list that share addresses. Matches do not mind (they are sets), pools do: what is there twice
// would be counted twice and get a double share.
//
// A pure function of the configuration; n log n for n ranges with all groups followed.
#pragma once

#include <cstddef>
#include <vector>

#include "control/config/schema.hh"

namespace sluice::config {

struct Overlap {
    std::size_t item = 0;  ///< index of the item that could be left out or cut: the later of the two
    AddressRange range;    ///< of that item
    AddressRange with;     ///< of an earlier item, or of the same group
};

/// At most one for each item, in their order.
std::vector<Overlap> find_overlaps(const Groups& groups, const std::vector<AddressItem>& items);

}  // namespace sluice::config
