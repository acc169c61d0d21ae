// SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
// SPDX-License-Identifier: GPL-3.0-or-later
//
// A modality, with the npm package dcmjs-dimse: does what the JSON on standard
// input says, in one association, and prints a line of JSON for each answer.
const {Client, Dataset, constants, requests} = require('dcmjs-dimse');
const {SopClass, Status} = constants;

const order = JSON.parse(require('fs').readFileSync(0, 'utf8'));
const client = new Client();
const STEP = SopClass.ModalityPerformedProcedureStep;

for (const [kind, uid, elements] of order.requests) {
    let request;
    if (kind === 'find') {
        request = requests.CFindRequest.createWorklistFindRequest(elements);
    } else if (kind === 'create') {
        request = new requests.NCreateRequest(STEP, uid);
        request.setDataset(new Dataset(elements));
    } else {
        request = new requests.NSetRequest(STEP, uid);
        request.setDataset(new Dataset(elements));
    }
    request.on('response', (response) => console.log(JSON.stringify({
        kind: kind,
        status: response.getStatus(),
        elements: response.hasDataset() ?
            response.getDataset().getElements() : null,
    })));
    client.addRequest(request);
}
client.on('associationRejected', (reason) => console.log(JSON.stringify(
    {kind: 'rejected', status: reason.reason})));
client.on('networkError', (error) => {
    console.error(error);
    process.exit(1);
});
client.send('127.0.0.1', order.port, order.title, 'GNUHEALTH');
