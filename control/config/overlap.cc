#include "control/config/overlap.hh"

#include <algorithm>
#include <map>

#include "control/config/resolve.hh"

namespace sluice::config {

std::vector<Overlap> find_overlaps(const Groups& groups, const std::vector<AddressItem>& items) {
    struct Place {
        AddressRange range;
        std::size_t item;
        std::size_t order;  ///< in the list as it is written
    };
    std::vector<Place> places;
    for (std::size_t i = 0; i < items.size(); ++i) {
        for (const AddressRange& range : expand_addresses(groups, {items[i]}))
            places.push_back({range, i, places.size()});
    }
    std::ranges::sort(places, [](const Place& a, const Place& b) {
        return a.range.first != b.range.first ? a.range.first < b.range.first : a.order < b.order;
    });
    std::map<std::size_t, Overlap> found;
    const Place* reaches_farthest = nullptr;
    for (const Place& place : places) {
        if (reaches_farthest != nullptr && place.range.first <= reaches_farthest->range.last) {
            const bool later = place.order > reaches_farthest->order;
            const Place& second = later ? place : *reaches_farthest;
            const Place& first = later ? *reaches_farthest : place;
            found.emplace(second.item, Overlap{second.item, second.range, first.range});
        }
        if (reaches_farthest == nullptr || place.range.last > reaches_farthest->range.last) reaches_farthest = &place;
    }
    std::vector<Overlap> out;
    out.reserve(found.size());
    for (const auto& [item, overlap] : found) out.push_back(overlap);
    return out;
}

}  // namespace sluice::config
