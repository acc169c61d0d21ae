from support import releases
def test_x(database_landed):
    copy=database_landed()
    before=releases.snapshot(copy)
    made=database_landed.made
    names={v:k for k,v in made['studies'].items()}
    for id_,r in sorted(before['gnuhealth_imaging_orthanc_study'].items()):
        print(names.get(id_), {k:v for k,v in r.items() if k in ('id','patient','request','imaging_test','link_rule','link_state','review_code','missing_since') and v})
    for r in before['gnuhealth_imaging_orthanc_link_candidate'].values(): print({k:r[k] for k in ('study','patient','request')})
    for r in before['gnuhealth_orthanc_report'].values(): print(r)
    for r in before['gnuhealth_imaging_test_request'].values(): print({k:r[k] for k in ('id','request','request_line','state','worklist_status')})
    for r in before['ir_attachment'].values(): print({k:r[k] for k in ('id','name','resource')})
    _, log = releases.upgrade(copy)
    print(log[-3000:])
    after=releases.snapshot(copy)
    for t in after:
        if t not in before: print('new table',t); continue
        a,b=[ (list(x.values()) or [{}])[0].keys() for x in (after[t],before[t])]
        if set(a)-set(b): print(t, set(a)-set(b), set(b)-set(a))
    for r in after['ir_attachment'].values(): print({k:r[k] for k in ('id','name','imaging_study')})
    import re
    for t in before:
        for i,r in before[t].items():
            n=after.get(t,{}).get(i)
            if n is None:
                if not t.startswith('ir_'): print('gone',t,i)
            elif any(n.get(k)!=v for k,v in r.items() if k not in('write_date','write_uid','create_date')) and (not t.startswith('ir_')  or t in ('ir_attachment','ir_cron','ir_note','ir_sequence','ir_sequence_type')):
                print('diff',t,i,{k:(v,n.get(k)) for k,v in r.items() if n.get(k)!=v})
